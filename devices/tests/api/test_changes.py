"""The change feed: each change once, in one order, to the keys that have the device in scope."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection

from devices import registry
from devices.access.actor import SYSTEM
from devices.db.triggers import append_only
from devices.models import ChangeFeed, Device, Hospital
from devices.registry import hospitals
from devices.tests.support.changes import PATH, actions_of, follow
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.factories import device_payload, register


def one(device: Device) -> Any:
    return Device.objects.filter(pk=device.pk)


def test_feed_returns_each_action_in_order_with_the_device_at_that_time(api: Api) -> None:
    first = api.post("/api/devices", [device_payload(1), device_payload(2)]).json()["data"][0]
    renamed = api.patch(f"/api/device/{first['id']}", {"device_name": "Renamed"}).json()["data"]
    api.delete(f"/api/device/{first['id']}")
    registry.restore([first["id"]], SYSTEM)
    response = api.get(PATH)
    assert actions_of(response) == [
        ("created", "Cuff 1"),
        ("created", "Cuff 2"),
        ("updated", "Renamed"),
        ("deleted", "Renamed"),
        ("restored", "Renamed"),
    ]
    events = response.json()["data"]
    assert [set(event) for event in events] == [{"cursor", "action", "at", "device"}] * 5
    assert [event["device"] for event in events[:1] + events[2:4]] == [first, renamed, renamed]
    assert events[2]["at"] >= renamed["updated_at"]


def test_cursor_of_a_page_is_the_one_in_next(api: Api) -> None:
    register(device_payload(1), device_payload(2))
    for query in ("?size=1", "?size=5", "?since=now", "?size=1&wait=0"):
        shown = api.get(f"{PATH}{query}").json()["pagination"]
        assert parse_qs(urlsplit(shown["next"]).query)["since"] == [shown["cursor"]]


def test_following_next_returns_each_change_once(api: Api) -> None:
    register(*(device_payload(n) for n in range(7)))
    events, end = follow(api, f"{PATH}?size=3")
    assert [event["device"]["device_name"] for event in events] == [f"Cuff {n}" for n in range(7)]
    assert len({event["cursor"] for event in events}) == 7
    assert actions_of(api.get(end)) == []
    register(device_payload(8))
    assert actions_of(api.get(end)) == [("created", "Cuff 8")]
    assert actions_of(api.get(f"{PATH}?since={events[4]['cursor']}&size=2")) == [
        ("created", "Cuff 5"),
        ("created", "Cuff 6"),
    ]


def test_since_now_returns_only_later_changes(api: Api) -> None:
    register(device_payload(1))
    events, end = follow(api, f"{PATH}?since=now")
    assert events == []
    register(device_payload(2))
    assert actions_of(api.get(end)) == [("created", "Cuff 2")]


def test_feed_for_a_camel_case_key_is_in_camel_case(camel: Api) -> None:
    camel.post("/api/devices", device_payload(1))
    assert camel.get(PATH).json()["data"][0]["device"]["deviceName"] == "Cuff 1"


# --- Hospitals


def test_feed_of_a_hospital_key_has_only_devices_of_the_hospital(api_a: Api, devices: dict[str, Device]) -> None:
    registry.update(one(devices["b"]), {"device_name": "Secret"}, SYSTEM)
    registry.retire(one(devices["free"]), SYSTEM)
    registry.update(one(devices["a"]), {"device_name": "Ours"}, SYSTEM)
    assert [(event["action"], event["device"]["device_name"]) for event in follow(api_a)[0]] == [
        ("created", "Cuff 1"),
        ("updated", "Ours"),
    ]


def test_transfer_is_deleted_for_the_old_hospital_and_created_for_the_new_one(
    api: Api, api_a: Api, api_b: Api, devices: dict[str, Device]
) -> None:
    starts = {key: follow(key)[1] for key in (api, api_a, api_b)}
    api.patch(f"/api/device/{devices['a'].pk}", {"device_name": "Theirs now", "device_holder": "RS Sehat"})
    registry.update(one(devices["a"]), {"device_type": "CORPORATE"}, SYSTEM)
    assert actions_of(api.get(starts[api])) == [("updated", "Theirs now"), ("updated", "Theirs now")]
    assert actions_of(api_b.get(starts[api_b])) == [("created", "Theirs now"), ("updated", "Theirs now")]
    [left] = api_a.get(starts[api_a]).json()["data"]
    assert (left["action"], left["device"]["device_name"], left["device"]["device_holder"]) == (
        "deleted",
        "Cuff 1",
        "RS Harapan",
    )


def test_transferred_device_reveals_nothing_about_its_old_hospital(api: Api, api_b: Api, rs_b: Hospital) -> None:
    device = api.post("/api/devices", device_payload(1, device_holder="RS Harapan")).json()["data"][0]
    api.patch(f"/api/device/{device['id']}", {"device_holder": "RS Sehat"})
    seen = [api_b.get(path).content for path in (PATH, "/api/devices", f"/api/device/{device['id']}")]
    assert all(b"Harapan" not in content and b"Cuff 1" in content for content in seen)


def test_device_without_a_hospital_is_deleted_for_its_former_hospital(api_a: Api, devices: dict[str, Device]) -> None:
    _events, end = follow(api_a)
    registry.transfer(one(devices["a"]), None, SYSTEM)
    registry.transfer(one(devices["a"]), devices["a"].device_holder, SYSTEM)
    assert actions_of(api_a.get(end)) == [("deleted", "Cuff 1"), ("created", "Cuff 1")]


def test_feed_pages_of_a_hospital_merge_current_and_transferred_devices(
    api_a: Api, rs_a: Hospital, rs_b: Hospital, devices: dict[str, Device]
) -> None:
    for _ in range(3):
        registry.transfer(one(devices["a"]), rs_b, SYSTEM)
        registry.transfer(one(devices["a"]), rs_a, SYSTEM)
    for size in (1, 2, 3, 100):
        actions = [event["action"] for event in follow(api_a, f"{PATH}?size={size}")[0]]
        assert actions == ["created", *["deleted", "created"] * 3]


def test_renaming_a_hospital_is_a_change_of_each_of_its_devices(
    api: Api, rs_a: Hospital, devices: dict[str, Device]
) -> None:
    _events, end = follow(api)
    hospitals.rename(rs_a, "RS Harapan Kita", SYSTEM)
    [event] = api.get(end).json()["data"]
    assert (event["action"], event["device"]) == ("updated", api.get(f"/api/device/{devices['a'].pk}").json()["data"])


def test_merging_hospitals_creates_the_devices_in_the_feed_of_the_target(
    api: Api, api_b: Api, rs_a: Hospital, rs_b: Hospital, devices: dict[str, Device]
) -> None:
    _events, end = follow(api_b)
    hospitals.merge([rs_a], rs_b, SYSTEM)
    assert actions_of(api_b.get(end)) == [("created", "Cuff 1")]
    assert {event["device"]["device_holder"] for event in follow(api)[0]} == {"RS Sehat", "unknown"}


# --- Bad input


def test_text_without_the_form_of_a_cursor_returns_400(api: Api) -> None:
    register(device_payload(1))
    cursor = api.get(PATH).json()["data"][0]["cursor"]
    endings = ("", "AA", "é", "*", "=", "%2B")
    for text in [*(cursor[:-1] + ending for ending in endings), "x", "é" * 60, "=" * 60, "1"]:
        response = api.get(f"{PATH}?since={text}")
        assert (response.status_code, errors(response)) == (400, [("since", "cursor")]), text


def test_modified_cursor_and_cursor_of_another_registry_return_410(api: Api) -> None:
    register(device_payload(1))
    cursor = api.get(PATH).json()["data"][0]["cursor"]
    for text in [cursor[:n] + ("A" if cursor[n] != "A" else "B") + cursor[n + 1 :] for n in range(len(cursor))]:
        response = api.get(f"{PATH}?since={text}")
        assert (response.status_code, errors(response)) == (410, [(None, "cursor_too_old")]), text
    assert errors(api.get(f"{PATH}?since={'A' * 60}&size=0")) == [("size", "out_of_range")]
    assert actions_of(api.get(f"{PATH}?since={cursor}")) == []
    ChangeFeed.objects.update(key=b"another registry".ljust(32))
    assert errors(api.get(f"{PATH}?since={cursor}")) == [(None, "cursor_too_old")]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("wait=abc", [("wait", "out_of_range")]),
        ("wait=31", [("wait", "out_of_range")]),
        ("wait=-1&size=1001", [("size", "out_of_range"), ("wait", "out_of_range")]),
        ("since=", [("since", "blank")]),
        ("after=7", [("after", "unknown_parameter")]),
        ("since=now&since=now", [("since", "repeated")]),
    ],
)
def test_invalid_parameter_of_the_feed_returns_400(api: Api, query: str, expected: list[Any]) -> None:
    response = api.get(f"{PATH}?{query}")
    assert (response.status_code, sorted(errors(response))) == (400, expected)


def test_cursor_before_pruned_changes_returns_410(api: Api) -> None:
    register(device_payload(1), device_payload(2), device_payload(3))
    events = api.get(PATH).json()["data"]
    ChangeFeed.objects.update(pruned_to=Device.history.order_by("history_id")[1].history_id)
    response = api.get(f"{PATH}?since={events[0]['cursor']}")
    assert (response.status_code, errors(response)) == (410, [(None, "cursor_too_old")])
    assert actions_of(api.get(f"{PATH}?since={events[1]['cursor']}")) == [("created", "Cuff 3")]
    assert len(follow(api, f"{PATH}?size=1")[0]) == 3


def test_cursor_from_after_a_restored_backup_returns_410(api: Api) -> None:
    register(device_payload(1), device_payload(2))
    cursors = [event["cursor"] for event in api.get(PATH).json()["data"]]
    append_only.remove(connection)
    Device.history.latest("history_id").delete()
    append_only.install(connection)
    assert [api.get(f"{PATH}?since={cursor}").status_code for cursor in cursors] == [200, 410]


def test_cursor_of_a_key_with_another_scope_returns_410(api: Api, api_a: Api, devices: dict[str, Device]) -> None:
    cursor = api_a.get(PATH).json()["data"][0]["cursor"]
    assert api.get(f"{PATH}?since={cursor}").status_code == 410


def test_feed_requires_a_key(outsider: Api) -> None:
    assert outsider.get(PATH).status_code == 401


def test_read_only_key_can_follow_the_feed(reader: Api) -> None:
    assert issue("x")
    assert actions_of(reader.get(PATH)) == []
