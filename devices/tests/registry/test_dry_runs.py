"""A dry run returns the response of the real request, but writes and locks nothing."""

import io
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices import registry
from devices.access.actor import IMPORT, SYSTEM, Actor
from devices.api import authentication
from devices.audit import middleware as audit_middleware
from devices.imports import plan, preview
from devices.models import Channel, Device, Hospital
from devices.registry import hospitals
from devices.tests.support.client import Api
from devices.tests.support.concurrency import open_transaction
from devices.tests.support.factories import device_payload, register
from devices.tests.support.imports import csv, rows
from devices.values.errors import ValidationFailed

# Few values of each, so that they conflict.
NAMES = st.sampled_from([f"Cuff {n}" for n in range(1, 7)])
MACS = st.sampled_from([device_payload(n)["device_mac"] for n in range(1, 7)])
TYPES = st.sampled_from(["CONSUMER", "corporate", "PHONE"])
HOLDERS = st.sampled_from(["RS Harapan", "rs sehat", "RS Lama", "RS Baru", "rs baru ", "unknown", 7])
FIELDS = {"device_name": NAMES, "device_mac": MACS, "device_type": TYPES, "device_holder": HOLDERS}
ITEMS = st.fixed_dictionaries(
    {"device_name": NAMES, "device_mac": MACS, "device_type": TYPES}, optional={"device_holder": HOLDERS}
)
CHANGES = st.fixed_dictionaries({}, optional=FIELDS)
LISTS = st.lists(ITEMS | CHANGES | st.just("no object"), max_size=4)
MODES = st.sampled_from(["mode=all", "mode=partial", "on_conflict=update", "mode=partial&on_conflict=update"])
PLACES = st.integers(0, 4)  # indexes of `ids`: three devices are registered, one is retired, one never existed
TAGS = st.sampled_from([{}, {}, {"If-Match": "*"}, {"If-Match": 'W/"1-00"'}, {"If-Match": "seen"}, {"If-Match": "7"}])
CLIENTS = st.sampled_from(["all", "all", "a", "camel", "reader"])

REQUESTS = st.one_of(
    st.tuples(st.just("POST"), st.just("/api/devices?{}"), LISTS, MODES, st.just({})),
    st.tuples(st.just("PUT"), st.just("/api/device?{}"), ITEMS, PLACES, TAGS),
    st.tuples(st.sampled_from(["PUT", "PATCH", "DELETE"]), st.just("/api/device/{}?"), CHANGES, PLACES, TAGS),
)


@pytest.fixture
def clients(api: Api, api_a: Api, camel: Api, reader: Api) -> dict[str, Api]:
    return {"all": api, "a": api_a, "camel": camel, "reader": reader}


@pytest.fixture
def ids(devices: dict[str, Device], clients: dict[str, Api], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of registered devices, of a retired one, and of one that never existed."""
    # Every request can write the last use of its key and the audit event of a denial. The test ignores both.
    monkeypatch.setattr(authentication, "touch_last_used", lambda _key: None)
    monkeypatch.setattr(audit_middleware, "record_denial", lambda *_args, **_more: None)
    [gone] = register(device_payload(4, device_holder="RS Lama"))
    hospitals.rename(Hospital.objects.get(name="RS Sehat"), "RS Tetap", SYSTEM)
    registry.retire(Device.objects.filter(pk=gone.pk), SYSTEM)
    return [devices["a"].pk, devices["b"].pk, devices["free"].pk, gone.pk, gone.pk + 1000]


@given(request=REQUESTS, who=CLIENTS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_dry_run_returns_the_real_response_and_only_reads(
    request: Any, who: str, ids: list[int], clients: dict[str, Api]
) -> None:
    method, path, body, where, headers = request
    client, url = clients[who], path.format(where if method == "POST" else ids[where] if "{}?" in path else "")
    if path == "/api/device?{}":
        body = {**body, "id": ids[where]}
    if headers.get("If-Match") == "seen":
        headers = {"If-Match": client.get(f"/api/device/{ids[where]}").headers.get("ETag", "*")}
    body = None if method == "DELETE" else body
    with CaptureQueriesContext(connection) as queries:
        dry = client(method, f"{url}&dry_run=true", body, **headers)
    assert [query["sql"] for query in queries if not query["sql"].lstrip("(").startswith("SELECT")] == []
    assert [query["sql"] for query in queries if "FOR UPDATE" in query["sql"]] == []
    with transaction.atomic():
        real = client(method, url, body, **headers)
        transaction.set_rollback(True)
    assert (dry.status_code, comparable(dry.json())) == (real.status_code, comparable(real.json()))
    only_real = {"ETag", "Location"}  # of a device that was written
    assert dry.headers.keys() - only_real == real.headers.keys() - only_real


def comparable(body: Any) -> Any:
    """Return the response body without ids, times, and the message of a success."""
    if isinstance(body, list):
        return [comparable(item) for item in body]
    if not isinstance(body, dict):
        return body
    ignored = {"id", "hospital_id", "created_at", "updated_at", "createdAt", "updatedAt"}
    if body.get("code") in (200, 201, 207):
        ignored.add("message")
    return {key: comparable(value) for key, value in body.items() if key not in ignored}


def all_locked() -> AbstractContextManager[None]:
    """Hold the write lock of SQLite, or locks of the tables on PostgreSQL, in another connection."""
    lock = "LOCK TABLE devices_device, devices_hospital IN EXCLUSIVE MODE"  # other connections can only read
    return open_transaction(*([lock] if connection.vendor == "postgresql" else []))


@pytest.mark.django_db(transaction=True)
def test_dry_run_succeeds_while_another_connection_has_all_locks(ids: list[int], api: Api) -> None:
    path, posted = (
        f"/api/device/{ids[0]}",
        [device_payload(1, device_type="CORPORATE"), device_payload(5, device_holder="RS Baru")],
    )
    with all_locked():
        assert api.post("/api/devices?dry_run=true", posted[1:]).status_code == 201
        assert api.post("/api/devices?dry_run=true&mode=partial&on_conflict=update", posted).status_code == 207
        assert api.put(f"{path}?dry_run=true", device_payload(6)).status_code == 200
        assert api.patch(f"{path}?dry_run=true", {"device_name": "Renamed"}).status_code == 200
        assert api.delete(f"{path}?dry_run=true").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_dry_run_of_an_import_succeeds_while_another_connection_has_all_locks(devices: dict[str, Device]) -> None:
    lines = rows(device_payload(1, device_type="CORPORATE"), device_payload(2), device_payload(5))
    with all_locked():
        dry = plan.import_devices(lines, IMPORT, dry_run=True)
    assert dry == plan.import_devices(lines, IMPORT)


def test_dry_run_of_an_import_finds_a_duplicate_in_an_earlier_part(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "BATCH_SIZE", 2)
    lines = rows(*(device_payload(n) for n in range(1, 5)), device_payload(5, device_name="Cuff 1"))
    for dry_run in (True, False):
        with pytest.raises(ValidationFailed) as rejected:
            plan.import_devices(lines, IMPORT, dry_run=dry_run)
        assert [(problem.index, problem.field) for problem in rejected.value.problems] == [(6, "device_name")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("again", [False, True])
def test_preview_is_planned_before_the_write_lock_is_taken(
    again: bool, django_user_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = Actor(Channel.IMPORT, django_user_model.objects.create_superuser("operator").pk)
    file = csv({**device_payload(1), "device_holder": ""})
    upload = preview.create_preview(io.BytesIO(file), "fleet.csv", actor)
    make_plan = plan.make_plan

    def plan_without_transaction(*args: Any, **kwargs: Any) -> Any:
        assert not connection.in_atomic_block
        return make_plan(*args, **kwargs)

    monkeypatch.setattr(plan, "make_plan", plan_without_transaction)
    if again:
        assert not preview.refresh_preview(upload, actor)
    else:
        assert preview.create_preview(io.BytesIO(file), "fleet.csv", actor).counts == {"new": 1}
