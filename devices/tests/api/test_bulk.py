"""POST in other modes: item by item, onto what is known, and as a rehearsal."""

from collections import Counter
from typing import Any

import pytest

from devices.models import Device, Hospital
from devices.registry import bulk
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.concurrency import at_once
from devices.tests.support.factories import device_payload, register

DEVICES = "/api/devices"
PARTIAL, UPDATE = f"{DEVICES}?mode=partial", f"{DEVICES}?on_conflict=update"


def results(response: Any) -> list[Any]:
    """Each item's status, with its device's name or the codes of its errors."""
    assert (response.status_code, response.json()["status"]) == (207, "MULTI_STATUS"), response.content
    items = response.json()["data"]
    assert [item["index"] for item in items] == list(range(len(items)))
    return [
        (item["status"], item["device"]["device_name"] if "device" in item else [e["code"] for e in item["errors"]])
        for item in items
    ]


def test_what_is_right_is_registered_and_the_rest_is_told(api: Api) -> None:
    register(device_payload(1))
    response = api.post(
        PARTIAL,
        [
            device_payload(2),
            device_payload(1),
            device_payload(3, device_mac="x"),
            "no device",
            device_payload(2, device_name="Twin"),
            device_payload(4),
        ],
    )
    assert results(response) == [
        ("created", "Cuff 2"),
        ("conflict", ["unique", "unique"]),
        ("invalid", ["mac"]),
        ("invalid", ["invalid"]),
        ("conflict", ["duplicate"]),
        ("created", "Cuff 4"),
    ]
    assert response.json()["data"][0]["device"] == api.get(f"{DEVICES}?device_name=Cuff%202").json()["data"][0]
    assert sorted(Device.objects.values_list("device_name", flat=True)) == ["Cuff 1", "Cuff 2", "Cuff 4"]


def test_of_two_that_are_the_same_the_first_that_is_right_stays(api: Api) -> None:
    response = api.post(
        PARTIAL,
        [
            device_payload(1, device_type="PHONE"),
            device_payload(1),
            device_payload(1),
            device_payload(2, device_name="Cuff 1"),
        ],
    )
    assert results(response) == [
        ("invalid", ["invalid_choice"]),
        ("created", "Cuff 1"),
        ("conflict", ["duplicate", "duplicate"]),
        ("conflict", ["duplicate"]),
    ]


def test_a_list_of_which_nothing_is_right_registers_nothing(api: Api) -> None:
    assert results(api.post(PARTIAL, [device_payload(1, device_name="")])) == [("invalid", ["blank"])]
    assert errors(api.post(PARTIAL, [])) == [(None, "empty")]
    assert not Device.history.exists()


def test_what_is_known_by_its_mac_is_updated(api: Api) -> None:
    register(device_payload(1, device_holder="RS Harapan"), device_payload(2))
    response = api.post(
        UPDATE,
        [device_payload(1, device_name="Renamed", device_mac="000000000001"), device_payload(2), device_payload(3)],
    )
    assert results(response) == [("updated", "Renamed"), ("unchanged", "Cuff 2"), ("created", "Cuff 3")]
    assert response.json()["data"][0]["device"]["device_holder"] == "RS Harapan"
    assert [item["device"] for item in response.json()["data"]] == api.get(DEVICES).json()["data"]
    assert Counter(Device.history.values_list("history_type", flat=True)) == {"+": 3, "~": 1}


def test_without_partial_an_update_of_many_is_all_or_nothing(api: Api) -> None:
    register(device_payload(1), device_payload(2))
    response = api.post(
        UPDATE, [device_payload(1, device_name="Renamed"), device_payload(3, device_name="Cuff 2"), device_payload(4)]
    )
    assert (response.status_code, errors(response)) == (409, [("device_name", "unique")])
    assert response.json()["errors"][0]["index"] == 1
    response = api.post(
        UPDATE, [device_payload(1, device_name="Renamed"), device_payload(1), device_payload(5, device_type="x")]
    )
    assert (response.status_code, len(errors(response))) == (400, 2)
    assert Device.history.count() == 2


@pytest.mark.parametrize(
    "query", ["", "?dry_run=true", "?mode=partial", "?on_conflict=update", "?on_conflict=update&dry_run=true"]
)
def test_errors_have_one_order_in_all_modes(api_a: Api, rs_b: Hospital, query: str) -> None:
    register(device_payload(1, device_holder="RS Harapan"))
    posted = [device_payload(2), device_payload(3, device_name="Cuff 1", device_type="PHONE", device_holder="RS Sehat")]
    response = api_a.post(f"{DEVICES}{query}", posted)
    found = response.json()["data"][1]["errors"] if "partial" in query else response.json()["errors"]
    assert [(error["field"], error["code"]) for error in found] == [
        ("device_type", "invalid_choice"),
        ("device_holder", "forbidden"),
        ("device_name", "unique"),
    ]


@pytest.mark.parametrize("query", ["", "?on_conflict=update"])
def test_each_repeated_item_of_a_list_that_is_all_or_nothing_is_reported(api: Api, query: str) -> None:
    response = api.post(
        f"{DEVICES}{query}", [device_payload(1, device_type="PHONE"), device_payload(1), device_payload(1)]
    )
    assert [(error["index"], error["code"]) for error in response.json()["errors"]] == [
        (0, "invalid_choice"),
        *[(1, "duplicate")] * 2,
        *[(2, "duplicate")] * 2,
    ]


def test_both_modes_go_together(api: Api) -> None:
    register(device_payload(1), device_payload(2))
    response = api.post(
        f"{PARTIAL}&on_conflict=update",
        [device_payload(1, device_name="Renamed"), device_payload(2, device_name="Renamed"), device_payload(3)],
    )
    assert results(response) == [("updated", "Renamed"), ("conflict", ["duplicate"]), ("created", "Cuff 3")]


@pytest.mark.parametrize("more", ["", "&dry_run=true"])
@pytest.mark.parametrize(
    ("second", "told"),
    [
        (device_payload(2, device_name="Other", device_type="bad"), ("invalid", ["invalid_choice"])),
        (device_payload(2, device_name="Cuff 4"), ("conflict", ["unique"])),
        (device_payload(2, device_name="Other", device_holder="RS Sehat"), ("invalid", ["forbidden"])),
        (device_payload(2, device_name="Other"), ("updated", "Other")),
    ],
)
def test_who_was_to_have_what_another_gives_up_falls_with_it(
    api_a: Api, rs_b: Hospital, second: Any, told: Any, more: str
) -> None:
    register(*(device_payload(n, device_holder="RS Harapan") for n in range(1, 5)))
    posted = [
        device_payload(3, device_name="Cuff 1"),
        device_payload(1, device_name="Cuff 2"),
        second,
        device_payload(5),
    ]
    response = api_a.post(f"{PARTIAL}&on_conflict=update{more}", posted)
    one, two = (
        [("updated", "Cuff 1"), ("updated", "Cuff 2")] if told[0] == "updated" else [("conflict", ["unique"])] * 2
    )
    assert results(response) == [one, two, told, ("created", "Cuff 5")]


def test_an_item_whose_name_another_takes_meanwhile_is_looked_at_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(device_payload(1))
    find_problems = bulk.find_problems

    def and_be_late(*args: Any, **options: Any) -> Any:
        found = find_problems(*args, **options)
        if not Device.objects.filter(device_name="Wanted").exists():
            register(device_payload(9, device_name="Wanted"))
        return found

    monkeypatch.setattr(bulk, "find_problems", and_be_late)
    response = api.post(f"{PARTIAL}&on_conflict=update", [device_payload(1, device_name="Wanted"), device_payload(2)])
    assert results(response) == [("conflict", ["unique"]), ("created", "Cuff 2")]


@pytest.mark.parametrize("query", ["mode=partial&on_conflict=update", "on_conflict=update"])
def test_a_hospitals_key_updates_its_own_only_and_learns_nothing_of_the_others(
    api_a: Api, devices: dict[str, Device], query: str
) -> None:
    posted = [device_payload(1, device_name="Ours"), device_payload(2, device_name="Theirs"), device_payload(4)]
    response = api_a.post(f"{DEVICES}?{query}", posted)
    if "partial" in query:
        assert results(response) == [("updated", "Ours"), ("conflict", ["unique"]), ("created", "Cuff 4")]
    else:
        assert response.status_code == 409
    assert b"Sehat" not in response.content
    devices["b"].refresh_from_db()
    assert devices["b"].device_name == "Cuff 2"


def test_a_holder_beyond_reach_is_an_items_own_fault(api_a: Api, rs_b: Hospital) -> None:
    response = api_a.post(PARTIAL, [device_payload(1, device_holder="RS Sehat"), device_payload(2)])
    assert results(response) == [("invalid", ["forbidden"]), ("created", "Cuff 2")]


def test_a_camel_case_key_is_told_in_its_own_names(camel: Api) -> None:
    data = camel.post(PARTIAL, [device_payload(1), {"deviceName": "x"}]).json()["data"]
    assert data[0]["device"]["deviceName"] == "Cuff 1"
    assert {error["field"] for error in data[1]["errors"]} == {"deviceMac", "deviceType"}


@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ("mode=x", "mode", "invalid_choice"),
        ("mode=", "mode", "blank"),
        ("on_conflict=merge", "on_conflict", "invalid_choice"),
        ("dry_run=yes", "dry_run", "invalid_choice"),
        ("dryrun=true", "dryrun", "unknown_parameter"),
    ],
)
def test_a_mode_that_there_is_not_is_refused(api: Api, query: str, field: str, code: str) -> None:
    response = api.post(f"{DEVICES}?{query}", device_payload(1))
    assert (response.status_code, errors(response)) == (400, [(field, code)])
    assert not Device.objects.exists()


def test_a_key_that_may_only_read_updates_nothing(reader: Api) -> None:
    register(device_payload(1))
    response = reader.post(f"{PARTIAL}&on_conflict=update", device_payload(1, device_name="x"))
    assert (response.status_code, errors(response)) == (403, [(None, "read_only")])
    assert Device.history.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("query", ["mode=partial", "on_conflict=update", "mode=partial&on_conflict=update"])
def test_lists_that_overlap_leave_each_device_once(query: str) -> None:
    key = issue("app").text
    posts = [[device_payload(n, device_type=kind) for n in range(40)] for kind in ("CONSUMER", "CORPORATE") * 3]
    responses = at_once(6, lambda n: Api(key).post(f"{DEVICES}?{query}", posts[n][:: 1 if n % 2 else -1]))
    told = Counter(status for response in responses for status, _what in results(response))
    assert (Device.objects.count(), told["created"]) == (40, 40)
    assert sum(told.values()) == 240
    assert told["updated"] == Device.history.filter(history_type="~").count()


# --- Rehearsals


def test_a_rehearsal_answers_what_would_happen_and_writes_nothing(api: Api) -> None:
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    path = f"/api/device/{device.pk}"
    requests: list[tuple[str, str, Any]] = [
        ("POST", DEVICES, [device_payload(2, device_holder="RS Baru"), device_payload(3)]),
        ("POST", DEVICES, [device_payload(4), device_payload(1)]),
        ("POST", f"{PARTIAL}&on_conflict=update", [device_payload(1, device_name="New"), device_payload(5), "x"]),
        ("PUT", path, device_payload(1, device_name="")),
        ("PUT", path, device_payload(6)),
        ("PATCH", path, {"device_type": "corporate"}),
        ("DELETE", path, None),
    ]
    for method, url, body in requests:
        before = (list(Device.objects.values()), Device.history.count(), Hospital.objects.count())
        rehearsed = api(method, f"{url}{'&' if '?' in url else '?'}dry_run=true", body)
        assert (list(Device.objects.values()), Device.history.count(), Hospital.objects.count()) == before
        real = api(method, url, body)
        assert rehearsed.status_code == real.status_code
        assert timeless(rehearsed.json()) == timeless(real.json()), (method, url)
        assert "ETag" not in rehearsed


def timeless(answer: Any) -> Any:
    """Leave out what only the real thing gives: the ids of new devices, instants, and that it was done."""
    if isinstance(answer, list):
        return [timeless(item) for item in answer]
    if not isinstance(answer, dict):
        return answer
    given = {"id", "created_at", "updated_at"} | ({"message"} if "code" in answer and "status" in answer else set())
    return {key: timeless(value) for key, value in answer.items() if key not in given}


def test_the_ids_of_devices_that_would_be_registered_are_not_known(api: Api) -> None:
    assert [
        row["id"] for row in api.post(f"{DEVICES}?dry_run=true", [device_payload(1), device_payload(2)]).json()["data"]
    ] == [None] * 2


def test_a_rehearsal_needs_the_right_to_do_it(reader: Api, api_a: Api, devices: dict[str, Device]) -> None:
    assert reader.delete(f"/api/device/{devices['a'].pk}?dry_run=true").status_code == 403
    assert api_a.delete(f"/api/device/{devices['b'].pk}?dry_run=true").status_code == 404
