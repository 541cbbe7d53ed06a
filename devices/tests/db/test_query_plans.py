"""No statement reads a whole list or table once per row: its time grows linearly with the list."""

import ast
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from devices import registry
from devices.access.actor import IMPORT, SYSTEM
from devices.accounts import sandbox
from devices.api import hospital_queries, lookup, queries
from devices.api.views import devices
from devices.db import bulk, expressions
from devices.history import recording
from devices.imports import plan
from devices.imports.files.spreadsheet import Row
from devices.models import Device, Hospital
from devices.registry import hospitals
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload
from devices.tests.support.imports import confirm, upload
from devices.tests.support.plans import explained, plans_of, repeated_scans, rows_read
from devices.tests.support.services.server import ROOT
from devices.values.device_types import DeviceType
from devices.values.scope import UNRESTRICTED, Scope

pytestmark = pytest.mark.django_db(transaction=True)  # VACUUM of PostgreSQL cannot run in a transaction

MANY, SOME = 3_000, 200
LIST_FUNCTIONS = {bulk: ("insert", "update", "delete"), expressions: ("in_ids", "in_texts")}
CALLS = {(module.__name__.rpartition(".")[2], name) for module, names in LIST_FUNCTIONS.items() for name in names}


@pytest.fixture
def ids(rs_a: Hospital) -> Iterator[list[int]]:
    """Register many devices, half of them in RS Harapan, and vacuum PostgreSQL, as autovacuum does in production.

    With the costs of a spinning disk, PostgreSQL would scan the 300 hospitals of a test for one of them.
    """
    holders = [rs_a.name, *(f"RS {n}" for n in range(MANY // 10))]
    devices = [device_payload(n, device_holder=holders[n % 2 and n % len(holders)]) for n in range(1, MANY + 1)]
    ids = list(registry.register(devices, SYSTEM).ids)  # type: ignore[arg-type]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("SET random_page_cost = 1.1")
    yield ids
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("RESET random_page_cost")


@pytest.fixture
def run_everything(
    api: Api, api_a: Api, operator: Client, rs_a: Hospital, rs_b: Hospital, ids: list[int]
) -> Callable[[], None]:
    """Return a function that calls every registry function that takes a list or a query set, with many devices."""

    of_two = Api(issue("group", hospitals=[rs_a, rs_b]).text)

    def run() -> None:
        for query in ("", "?page=3", "?after=100", "?device_type=CONSUMER", "?ordering=-updated_at", "?search=cuff"):
            assert of_two.get(f"/api/devices{query}").json()["data"]
        assert of_two.get(f"/api/device/{ids[1]}").status_code in (200, 404)
        sandbox.get_or_create_sandbox(SYSTEM)
        new = [device_payload(n, device_holder=f"Hospital {n}") for n in range(10_000, 10_000 + SOME)]
        assert api.post("/api/devices", new).status_code == 201
        assert api.post("/api/devices", new).status_code == 409
        for start, query in enumerate(("mode=partial", "mode=partial&on_conflict=update", "on_conflict=update")):
            for client in (api, api_a, of_two):
                client.post(f"/api/devices?{query}", changed(start * SOME) + new)
        _import(operator, ids)
        registry.change_type(Device.objects.filter(pk__in=ids[:SOME]), DeviceType.CORPORATE, SYSTEM)
        registry.transfer(Device.objects.filter(pk__in=ids[:SOME]), rs_b, SYSTEM)
        registry.retire(Device.objects.filter(pk__in=ids[-SOME:]), SYSTEM)
        registry.restore(ids[-5:], SYSTEM)
        several = Api(issue("several", hospitals=list(Hospital.objects.all()[:SOME])).text)
        for path in (f"device/{ids[0]}", "hospitals", "hospitals?ordering=hospital_name", f"hospital/{rs_a.pk}"):
            several.get(f"/api/{path}")
        hospitals.rename(rs_a, "RS Lain", SYSTEM)
        macs = [device_payload(n)["device_mac"] for n in range(1, 1001)]
        for scope in (UNRESTRICTED, Scope((rs_a,)), Scope((rs_a, rs_b))):
            lookup.look_up(macs, scope, "snake_case")
        api.post("/api/devices", [device_payload(n, device_holder="rs harapan") for n in range(30_000, 30_000 + SOME)])
        hospitals.merge([rs_a], rs_b, SYSTEM)
        operator.get("/admin/devices/historicaldevice/?q=Lain")

    return run


def changed(start: int) -> list[dict[str, Any]]:
    """Return changes of registered devices that exchange their names."""
    return [
        device_payload(n, device_name=f"Cuff {n ^ 1}", device_type="CORPORATE") for n in range(start + 2, start + SOME)
    ]


def _import(operator: Client, ids: list[int]) -> None:
    by_id = [{**line, "id": str(pk)} for line, pk in zip(changed(1_000), ids[1_001:], strict=False)]
    new = [device_payload(n, device_holder=f"RS Baru {n}") for n in range(20_000, 20_000 + SOME)]
    rows = [Row(number, cells, {}) for number, cells in enumerate([*by_id, *changed(1_400), *new], start=2)]
    plan.import_devices(rows, IMPORT)
    url = upload(operator, *changed(1_800), *(device_payload(n) for n in range(40_000, 40_000 + SOME)))
    confirm(operator, url)
    taken = [device_payload(n, device_mac=device_payload(n + 50_000)["device_mac"]) for n in range(2_000, 2_000 + SOME)]
    operator.get(upload(operator, *taken))


def test_no_statement_scans_a_list_or_a_table_once_per_row(run_everything: Callable[[], None]) -> None:
    with explained() as plans:
        run_everything()
    assert sum("json_" in statement for statement in plans) > 15
    assert {statement: scans for statement, scans in plans.items() if scans} == {}


@pytest.mark.parametrize("query", ["", "?page=2", "?after={middle}", "?before={middle}", "?ordering=-id"])
@pytest.mark.skipif(connection.vendor != "postgresql", reason="The plans are PostgreSQL's.")
def test_list_of_several_hospitals_reads_the_first_devices_of_each(ids: list[int], query: str) -> None:
    registry.transfer(Device.objects.filter(pk__in=ids[::2]), Hospital.objects.get(name="RS 7"), SYSTEM)
    hospitals_of_key = Hospital.objects.filter(name__in=["RS Harapan", "RS 7", "RS 8"])
    api = Api(issue("group", hospitals=hospitals_of_key).text)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    url = f"/api/devices{query}".format(middle=ids[MANY // 2])
    with CaptureQueriesContext(connection) as captured:
        assert api.get(url).json()["pagination"]["total"] > MANY // 3
    [statement] = [each["sql"] for each in captured if "to_json" in each["sql"]]
    assert 0 < rows_read(statement, "devices_device") <= 4 * 2 * 21


def test_changes_of_a_device_and_a_lookup_use_their_index(
    api: Api, api_a: Api, ids: list[int], rs_a: Hospital, rs_b: Hospital
) -> None:
    several = Api(issue("several", hospitals=[rs_a, rs_b]).text)
    history, macs = [], []
    for client in (api, api_a, several):
        for pk in ids[:2]:
            with plans_of("devices_historicaldevice") as plans:
                assert client.get(f"/api/device/{pk}/changes").status_code in (200, 404)
            history += [plan for statement, plan in plans.items() if "history_previous_holder_id" in statement]
        with plans_of("devices_device") as plans:
            client.post("/api/devices/lookup", {"device_mac": [device_payload(n)["device_mac"] for n in range(1, 50)]})
        macs += [plan for statement, plan in plans.items() if "json_" in statement]
    assert len(history) == 6  # one for each device in scope, and the departures for a key with a limited scope
    assert [plan for plan in history if "change_by_device" not in plan] == []
    assert len(macs) == 3
    whole = "SCAN devices_device'" if connection.vendor == "sqlite" else "Seq Scan on devices_device"
    assert [plan for plan in macs if whole in plan] == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE devices_hospital SET name = new.value FROM json_each(%s) AS new "
        "WHERE devices_hospital.id = new.value AND devices_hospital.id IN (SELECT value FROM json_each('[1]'))",
        "SELECT id FROM devices_device AS d WHERE (SELECT max(value) FROM json_each(%s) WHERE value > d.id)",
    ],
)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="The statements are SQLite's.")
def test_quadratic_plan_is_recognized_on_sqlite(statement: str, ids: list[int]) -> None:
    assert list(repeated_scans(statement, ["[1]"]))


@pytest.mark.parametrize(
    "condition",
    [
        "EXISTS (SELECT FROM json_array_elements_text(%s) AS new WHERE new.value::bigint + d.id = 7)",
        "id + 1 < ANY (SELECT h.id FROM devices_hospital AS h WHERE h.name || d.id <> %s)",
    ],
)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="The statements are PostgreSQL's.")
def test_quadratic_plan_is_recognized_on_postgresql(condition: str, ids: list[int]) -> None:
    assert list(repeated_scans(f"SELECT id FROM devices_device AS d WHERE {condition}", ["[1]"]))


def test_every_statement_with_a_list_is_explained(
    run_everything: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    callers = set()

    def tracked(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            frames = (frame for frame in inspect.stack(0)[1:] if not frame.function.startswith("<"))
            caller = next(frames)
            callers.add((Path(caller.filename).name, caller.function))
            return function(*args, **kwargs)

        return call

    for module, names in LIST_FUNCTIONS.items():
        for name in names:
            monkeypatch.setattr(module, name, tracked(getattr(module, name)))
    for compiled in (hospitals._by_current_name, hospital_queries._page, hospital_queries._detail, devices._detail):
        compiled.cache_clear()
    recording._copy_query.cache_clear()
    queries._compiled.cache_clear()
    devices._detail.cache_clear()
    lookup._devices.cache_clear()
    run_everything()
    postgresql_only = set() if connection.vendor == "postgresql" else {("changes.py", "get_search_results")}
    assert set(_uses()) - callers == postgresql_only


def _uses() -> Iterator[tuple[str, str]]:
    """Yield the file and name of each function outside db/ that calls a function of db/ with a list."""
    for path in (ROOT / "devices").rglob("*.py"):
        if "tests" in path.parts or path.parent.name == "db":
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and any(map(_takes_list, ast.walk(function))):
                yield path.name, function.name


def _takes_list(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and (node.value.id, node.attr) in CALLS
