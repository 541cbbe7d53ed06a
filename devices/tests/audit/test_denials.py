"""Requests for ids outside the scope are recorded, and no flood of one event hides another."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from devices.audit import denials
from devices.audit.audit_log import Action
from devices.models import AuditEvent, Device, Hospital
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload

pytestmark = pytest.mark.django_db
ADMIN = "/admin/devices/device/"


def recorded(action: Action) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action=action).order_by("pk"))


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [1000.0]
    monkeypatch.setattr("devices.audit.denials.time.monotonic", lambda: now[0])

    def pass_seconds(seconds: float) -> None:
        now[0] += seconds

    return pass_seconds


# --- Ids outside the scope


@pytest.mark.parametrize(
    ("method", "query"),
    [("GET", ""), *((method, query) for method in ("PUT", "PATCH", "DELETE") for query in ("", "?dry_run=true"))],
)
def test_foreign_and_missing_id_are_recorded_in_the_same_way(
    api_a: Api, devices: dict[str, Device], method: str, query: str
) -> None:
    for pk in (devices["b"].pk, 4711):
        body = None if method in ("GET", "DELETE") else device_payload(9)
        assert api_a(method, f"/api/device/{pk}{query}", body).status_code == 404
        [event] = recorded(Action.OUT_OF_SCOPE)
        assert str(event.api_key) == "ward app of RS Harapan"
        assert (event.ip_address, event.channel) == ("127.0.0.1", "api")
        assert event.details == {"method": method, "route": "api/device/<int:id_device>"}


def test_foreign_and_missing_hospital_ids_are_recorded_in_the_same_way(api_a: Api, rs_b: Hospital) -> None:
    for pk in (rs_b.pk, 4711):
        assert api_a.get(f"/api/hospital/{pk}").status_code == 404
        [event] = recorded(Action.OUT_OF_SCOPE)
        assert event.details == {"method": "GET", "route": "api/hospital/<int:hospital_id>"}


def test_an_id_in_the_body_is_recorded_too(api_a: Api, devices: dict[str, Device]) -> None:
    assert api_a.put("/api/device", device_payload(9, id=devices["b"].pk)).status_code == 404
    assert len(recorded(Action.OUT_OF_SCOPE)) == 1


def test_a_probing_key_has_one_row_a_minute_with_the_number(rs_a: Hospital, pass_time: Callable[[float], None]) -> None:
    key = issue("app", hospitals=[rs_a]).text
    for number in range(80):
        client = Api(key).client
        address = f"192.0.2.{number}"  # denials of a key are one kind for all addresses
        client.get(f"/api/device/{number + 1}", headers={"x-api-key": key}, REMOTE_ADDR=address)
    assert len(recorded(Action.OUT_OF_SCOPE)) == 1
    pass_time(61)
    Api(key).get("/api/device/4711")
    assert [event.details.get("count") for event in recorded(Action.OUT_OF_SCOPE)] == [None, 79, None]


def test_own_devices_unrestricted_keys_and_unknown_addresses_are_not_recorded(
    api_a: Api, api: Api, devices: dict[str, Device]
) -> None:
    assert api_a.get(f"/api/device/{devices['a'].pk}").status_code == 200
    assert api.get("/api/device/4711").status_code == 404
    assert api_a.get("/api/nothing/here").status_code == 404
    assert recorded(Action.OUT_OF_SCOPE) == []


def test_a_hospital_admin_who_requests_foreign_pages_is_recorded(
    ratna: Client, operator: Client, devices: dict[str, Device]
) -> None:
    for page in ("change/", "delete/", "history/"):
        assert ratna.get(f"{ADMIN}{devices['b'].pk}/{page}").status_code == 404
    [event] = recorded(Action.OUT_OF_SCOPE)
    assert (event.username, event.channel) == ("ratna@rs.example", "admin")
    assert operator.get(f"{ADMIN}4711/change/").status_code in (302, 404)
    assert ratna.get("/admin/nothing/here/").status_code == 404
    assert len(recorded(Action.OUT_OF_SCOPE)) == 1


# --- Shares


def test_a_flood_of_one_event_does_not_hide_another(outsider: Api, api_a: Api, reader: Api) -> None:
    for number in range(200):
        outsider.client.get("/api/devices", REMOTE_ADDR=f"198.51.100.{number}")
    assert len(recorded(Action.DENIED)) == denials.MAX_ROWS_PER_MINUTE + 1
    api_a.get("/api/device/4711")
    [event] = recorded(Action.OUT_OF_SCOPE)
    assert event.api_key is not None
    reader.post("/api/devices", device_payload(1))
    assert recorded(Action.DENIED)[-1].details["status"] == 403


def test_a_flood_of_a_scoped_caller_does_not_hide_a_failed_sign_in(rs_a: Hospital, client: Client) -> None:
    for number in range(200):
        Api(issue(f"app {number}", hospitals=[rs_a]).text).get("/api/device/4711")
    rows = recorded(Action.OUT_OF_SCOPE)
    assert len(rows) == denials.MAX_ROWS_PER_MINUTE + 1
    assert rows[-1].details == {"from": "many others"}
    client.post("/admin/login/", {"username": "nobody", "password": "wrong"})
    [event] = recorded(Action.SIGN_IN_FAILED)
    assert event.ip_address == "127.0.0.1"


def test_memory_of_the_deduplicator_is_limited() -> None:
    deduplicator = denials.EventDeduplicator()
    statuses = 401, 403, 429
    for number in range(300):
        for action in Action:
            event = AuditEvent(action=action, api_key_id=number, details={"status": statuses[number % 3]})
            deduplicator.rows(event)
    bound = len(Action) * len(statuses) * (denials.MAX_ROWS_PER_MINUTE + 1 + max(denials.ROWS_BEFORE_COUNTING.values()))
    assert len(deduplicator.seen) <= bound
    assert len(deduplicator.unwritten) <= bound
    assert len(deduplicator.shares) <= len(Action) * len(statuses)


def test_numbers_of_conflicts_are_added_up(pass_time: Callable[[float], None]) -> None:
    deduplicator = denials.EventDeduplicator()

    def rows(conflicts: int) -> list[Any]:
        event = AuditEvent(action=Action.CONFLICTS_OUTSIDE_SCOPE, api_key_id=1, details={"conflicts": conflicts})
        return [event.details for event in deduplicator.rows(event)]

    assert [rows(1), rows(10), rows(5)] == [[{"conflicts": 1}], [], []]
    pass_time(61)
    assert rows(2) == [{"conflicts": 15, "count": 2}, {"conflicts": 2}]
