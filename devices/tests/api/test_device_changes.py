"""The changes of one device: those that the change feed of the key has, and no others."""

from typing import Any

import pytest

from devices import registry
from devices.access.actor import SYSTEM
from devices.models import AuditEvent, Device, Hospital
from devices.registry import hospitals
from devices.tests.support.changes import actions_of, follow
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.clock import days_ago
from devices.tests.support.factories import device_payload, register
from devices.tests.support.pruning import CHANGES, PAST, prune


def rows_of(device: Device) -> Any:
    return Device.objects.filter(pk=device.pk)


def path_of(device: Device, query: str = "") -> str:
    return f"/api/device/{device.pk}/changes{query}"


def feed_of(api: Api, device: Device) -> list[Any]:
    """Return the events of the device in the change feed, without their cursors."""
    return [without_cursor(event) for event in follow(api)[0] if event["device"]["id"] == device.pk]


def without_cursor(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "cursor"}


def transferred(device: Device, *holders: Hospital | None) -> None:
    for number, holder in enumerate(holders):
        registry.transfer(rows_of(device), holder, SYSTEM)
        registry.update(rows_of(device), {"device_name": f"Name {number}"}, SYSTEM)


def test_changes_are_in_order_with_the_device_at_that_time(api: Api, devices: dict[str, Device]) -> None:
    device = devices["a"]
    registry.update(rows_of(device), {"device_name": "Renamed"}, SYSTEM)
    api.delete(f"/api/device/{device.pk}")
    registry.restore([device.pk], SYSTEM)
    response = api.get(path_of(device))
    assert actions_of(response) == [
        *(("created", "Cuff 1"), ("updated", "Renamed"), ("deleted", "Renamed"), ("restored", "Renamed"))
    ]
    body = response.json()
    assert [without_cursor(event) for event in body["data"]] == feed_of(api, device)
    assert body["pagination"] == {"size": 20, "cursor": None, "next": None}
    assert {name for event in body["data"] for name in event} == {"cursor", "action", "at", "device"}


def test_key_of_each_kind_has_the_events_of_its_feed(
    api: Api, api_a: Api, api_b: Api, devices: dict[str, Device], rs_a: Hospital, rs_b: Hospital
) -> None:
    transferred(devices["a"], rs_b, None, rs_a, rs_b, rs_a)
    clients = [
        *(api, api_a, Api(issue("several", hospitals=[rs_a, rs_b]).text)),
        Api(issue("reader", read_only=True, hospitals=[rs_a]).text),
        Api(issue("web", naming="camelCase").text),
    ]
    seen = []
    for client in clients:
        for device in devices.values():
            response = client.get(path_of(device))
            if response.status_code == 200:
                events = [without_cursor(event) for event in response.json()["data"]]
                assert events == feed_of(client, device)
                seen.append(len(events))
    assert seen == [11, 1, 1, 7, 10, 1, 7, 11, 1, 1]
    assert api_b.get(path_of(devices["a"])).status_code == 404  # it has left the hospital
    assert b"Name 0" not in api_a.get(path_of(devices["a"])).content


def test_arrival_is_created_and_departure_is_deleted(
    api_a: Api, devices: dict[str, Device], rs_a: Hospital, rs_b: Hospital
) -> None:
    transferred(devices["a"], rs_b, rs_a)
    assert actions_of(api_a.get(path_of(devices["a"]))) == [
        *(("created", "Cuff 1"), ("deleted", "Cuff 1"), ("created", "Name 0"), ("updated", "Name 1"))
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
def test_pages_have_each_change_once(
    api_a: Api, devices: dict[str, Device], rs_a: Hospital, rs_b: Hospital, size: int
) -> None:
    transferred(devices["a"], rs_b, rs_a)
    path, seen = path_of(devices["a"], f"?size={size}"), []
    while path:
        body = api_a.get(path).json()
        assert 0 < len(body["data"]) <= size
        seen += body["data"]
        path = (body["pagination"]["next"] or "").removeprefix("http://testserver")
    assert len(seen) == len({event["cursor"] for event in seen}) == 4
    after = api_a.get(path_of(devices["a"], f"?since={seen[1]['cursor']}"))
    assert [without_cursor(event) for event in after.json()["data"]] == [without_cursor(event) for event in seen[2:]]


def test_cursor_of_a_change_works_in_the_feed(api: Api, devices: dict[str, Device]) -> None:
    [event] = api.get(path_of(devices["b"])).json()["data"]
    assert actions_of(api.get(f"/api/devices/changes?since={event['cursor']}")) == [("created", "Cuff 3")]


def test_retired_device_in_scope_has_its_changes(api_a: Api, api_b: Api, devices: dict[str, Device]) -> None:
    api_a.delete(f"/api/device/{devices['a'].pk}")
    assert actions_of(api_a.get(path_of(devices["a"]))) == [("created", "Cuff 1"), ("deleted", "Cuff 1")]
    assert api_b.get(path_of(devices["a"])).status_code == 404


def test_foreign_unknown_and_retired_devices_return_the_same_404(
    api_b: Api, api_a: Api, devices: dict[str, Device], rs_b: Hospital
) -> None:
    [gone, left] = register(device_payload(4, device_holder="RS Harapan"), device_payload(5, device_holder="RS Sehat"))
    api_a.delete(f"/api/device/{gone.pk}")
    registry.transfer(rows_of(left), None, SYSTEM)
    ids = [devices["a"].pk, devices["free"].pk, gone.pk, left.pk, 987_654, 2**63, 10**30]
    responses = [api_b.get(f"/api/device/{pk}/changes?size=5") for pk in ids]
    assert {response.status_code for response in responses} == {404}
    assert len({response.content for response in responses}) == 1
    assert responses[0].json()["errors"] == api_b.get("/api/device/987654").json()["errors"]
    assert AuditEvent.objects.filter(action="out_of_scope").exists()


def test_changes_after_a_merge_are_those_of_the_feed(
    api_b: Api, api: Api, devices: dict[str, Device], rs_a: Hospital, rs_b: Hospital
) -> None:
    hospitals.merge([rs_a], rs_b, SYSTEM)
    assert actions_of(api_b.get(path_of(devices["a"]))) == [("created", "Cuff 1")]
    assert len(api.get(path_of(devices["a"])).json()["data"]) == 2


def test_only_the_changes_that_are_left_are_returned_after_pruning(api: Api, db: None) -> None:
    with days_ago(PAST):
        changed, retired = register(device_payload(1), device_payload(2))
        cursor = api.get(path_of(changed)).json()["data"][0]["cursor"]
        registry.update(rows_of(changed), {"device_name": "Renamed"}, SYSTEM)
        registry.retire(rows_of(retired), SYSTEM)
    register(device_payload(3))
    prune(*CHANGES)
    assert actions_of(api.get(path_of(changed))) == [("created", "Renamed")]
    assert actions_of(api.get(path_of(retired))) == [("deleted", "Cuff 2")]
    assert errors(api.get(path_of(changed, f"?since={cursor}"))) == [(None, "cursor_too_old")]


def test_cursor_of_another_scope_returns_410(api: Api, api_a: Api, devices: dict[str, Device]) -> None:
    cursor = api.get(path_of(devices["a"])).json()["data"][0]["cursor"]
    assert api_a.get(path_of(devices["a"], f"?since={cursor}")).status_code == 410


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("since=now", ("since", "cursor")),
        ("since=x", ("since", "cursor")),
        ("size=0", ("size", "out_of_range")),
        ("size=1001", ("size", "out_of_range")),
        ("wait=1", ("wait", "unknown_parameter")),
        ("page=1", ("page", "unknown_parameter")),
    ],
)
def test_invalid_parameter_returns_400_for_each_device(
    api_b: Api, devices: dict[str, Device], query: str, expected: tuple[str, str]
) -> None:
    for device in devices.values():
        response = api_b.get(path_of(device, f"?{query}"))
        assert (response.status_code, errors(response)) == (400, [expected])


def test_size_of_1000_is_possible(api: Api, devices: dict[str, Device]) -> None:
    assert len(api.get(path_of(devices["a"], "?size=1000")).json()["data"]) == 1
