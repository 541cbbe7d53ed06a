"""POST /api/devices/batch, and POST /api/devices with mode=partial and on_conflict=update."""

from collections import Counter
from typing import Any

import pytest

from devices.models import Device, Hospital
from devices.registry import bulk, validation
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.concurrency import at_once
from devices.tests.support.factories import device_payload, register

DEVICES = "/api/devices"
PARTIAL, UPDATE = f"{DEVICES}?mode=partial", f"{DEVICES}?on_conflict=update"
BATCH = f"{DEVICES}/batch"


def results(response: Any) -> list[Any]:
    """Return the status of each item, with the name of the device or the codes of the errors."""
    assert (response.status_code, response.json()["status"]) == (207, "MULTI_STATUS"), response.content
    items = response.json()["data"]
    assert [item["index"] for item in items] == list(range(len(items)))
    return [
        (item["status"], item["device"]["device_name"] if "device" in item else [e["code"] for e in item["errors"]])
        for item in items
    ]


def test_partial_registers_valid_items_and_reports_the_others(api: Api) -> None:
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
        ("invalid", ["invalid_type"]),
        ("conflict", ["duplicate"]),
        ("created", "Cuff 4"),
    ]
    assert response.json()["data"][0]["device"] == api.get(f"{DEVICES}?device_name=Cuff%202").json()["data"][0]
    assert sorted(Device.objects.values_list("device_name", flat=True)) == ["Cuff 1", "Cuff 2", "Cuff 4"]


@pytest.mark.parametrize("more", ["", "&on_conflict=update"])
@pytest.mark.parametrize(
    "body",
    [
        [device_payload(2), device_payload(1, device_name="Renamed"), device_payload(3, device_mac="x"), "no device"],
        [{}],
        device_payload(2),
        [],
        "no device",
    ],
)
def test_batch_returns_what_partial_returns(api: Api, body: Any, more: str) -> None:
    register(device_payload(1))
    expected = api.post(f"{PARTIAL}{more}&dry_run=true", body)
    for dry_run in ("true", "false"):
        response = api.post(f"{BATCH}?dry_run={dry_run}{more}", body)
        assert response.status_code == expected.status_code == (207 if body else 400)
        assert comparable(response.json()) == comparable(expected.json())


def test_batch_always_returns_207_and_has_no_mode(api: Api) -> None:
    assert results(api.post(BATCH, [device_payload(1)])) == [("created", "Cuff 1")]
    assert results(api.post(f"{BATCH}?on_conflict=update", [{}]))[0][0] == "invalid"
    for mode in ("all", "partial"):
        assert errors(api.post(f"{BATCH}?mode={mode}", [device_payload(2)])) == [("mode", "unknown_parameter")]
    assert errors(api.post(BATCH, [device_payload(2)], **{"if-match": "*"}))[0][1] == "if_match_not_supported"


def test_batch_with_an_idempotency_key_is_executed_once(api: Api) -> None:
    key = {"idempotency-key": "batch"}
    first = api.post(BATCH, [device_payload(1), {}], **key)
    again = api.post(BATCH, [device_payload(1), {}], **key)
    assert (again.content, again["Idempotency-Replayed"]) == (first.content, "true")
    assert results(again) == [("created", "Cuff 1"), ("invalid", ["required"] * 3)]
    assert errors(api.post(BATCH, [device_payload(2)], **key)) == [(None, "key_reused")]


def test_partial_registers_the_first_valid_one_of_duplicate_items(api: Api) -> None:
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


def test_array_without_valid_items_registers_nothing(api: Api) -> None:
    assert results(api.post(PARTIAL, [device_payload(1, device_name="")])) == [("invalid", ["blank"])]
    assert errors(api.post(PARTIAL, [])) == [(None, "empty")]
    assert not Device.history.exists()


def test_upsert_updates_the_device_with_the_same_mac(api: Api) -> None:
    register(device_payload(1, device_holder="RS Harapan"), device_payload(2))
    response = api.post(
        UPDATE,
        [device_payload(1, device_name="Renamed", device_mac="000000000001"), device_payload(2), device_payload(3)],
    )
    assert results(response) == [("updated", "Renamed"), ("unchanged", "Cuff 2"), ("created", "Cuff 3")]
    assert response.json()["data"][0]["device"]["device_holder"] == "RS Harapan"
    assert [item["device"] for item in response.json()["data"]] == api.get(DEVICES).json()["data"]
    assert Counter(Device.history.values_list("history_type", flat=True)) == {"+": 3, "~": 1}


def test_upsert_without_partial_is_all_or_nothing(api: Api) -> None:
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
def test_errors_have_the_same_order_in_all_modes(api_a: Api, rs_b: Hospital, query: str) -> None:
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
def test_each_duplicate_item_is_reported_without_partial(api: Api, query: str) -> None:
    response = api.post(
        f"{DEVICES}{query}", [device_payload(1, device_type="PHONE"), device_payload(1), device_payload(1)]
    )
    assert [(error["index"], error["code"]) for error in response.json()["errors"]] == [
        (0, "invalid_choice"),
        *[(1, "duplicate")] * 2,
        *[(2, "duplicate")] * 2,
    ]


def test_partial_and_upsert_can_be_combined(api: Api) -> None:
    register(device_payload(1), device_payload(2))
    response = api.post(
        f"{PARTIAL}&on_conflict=update",
        [device_payload(1, device_name="Renamed"), device_payload(2, device_name="Renamed"), device_payload(3)],
    )
    assert results(response) == [("updated", "Renamed"), ("conflict", ["duplicate"]), ("created", "Cuff 3")]


@pytest.mark.parametrize("more", ["", "&dry_run=true"])
@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (device_payload(2, device_name="Other", device_type="bad"), ("invalid", ["invalid_choice"])),
        (device_payload(2, device_name="Cuff 4"), ("conflict", ["unique"])),
        (device_payload(2, device_name="Other", device_holder="RS Sehat"), ("invalid", ["forbidden"])),
        (device_payload(2, device_name="Other"), ("updated", "Other")),
    ],
)
def test_item_that_needs_the_value_of_a_failed_item_fails_too(
    api_a: Api, rs_b: Hospital, second: Any, expected: Any, more: str
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
        [("updated", "Cuff 1"), ("updated", "Cuff 2")] if expected[0] == "updated" else [("conflict", ["unique"])] * 2
    )
    assert results(response) == [one, two, expected, ("created", "Cuff 5")]


def test_item_is_validated_again_after_a_concurrent_conflict(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    register(device_payload(1))
    find_problems = validation.find_problems

    def find_and_conflict(*args: Any, **options: Any) -> Any:
        found = find_problems(*args, **options)
        if not Device.objects.filter(device_name="Wanted").exists():
            register(device_payload(9, device_name="Wanted"))
        return found

    monkeypatch.setattr(bulk, "find_problems", find_and_conflict)
    response = api.post(f"{PARTIAL}&on_conflict=update", [device_payload(1, device_name="Wanted"), device_payload(2)])
    assert results(response) == [("conflict", ["unique"]), ("created", "Cuff 2")]


@pytest.mark.parametrize("query", ["mode=partial&on_conflict=update", "on_conflict=update"])
def test_upsert_with_a_hospital_key_hides_devices_of_other_hospitals(
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


def test_partial_reports_a_hospital_outside_the_scope_for_its_item_only(api_a: Api, rs_b: Hospital) -> None:
    response = api_a.post(PARTIAL, [device_payload(1, device_holder="RS Sehat"), device_payload(2)])
    assert results(response) == [("invalid", ["forbidden"]), ("created", "Cuff 2")]


def test_results_for_a_camel_case_key_are_in_camel_case(camel: Api) -> None:
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
        ("dry_run=TRUE", "dry_run", "invalid_choice"),
        ("dry_run=01", "dry_run", "invalid_choice"),
        ("dry_run=", "dry_run", "blank"),
        ("dryrun=true", "dryrun", "unknown_parameter"),
    ],
)
def test_unknown_mode_returns_400(api: Api, query: str, field: str, code: str) -> None:
    response = api.post(f"{DEVICES}?{query}", device_payload(1))
    assert (response.status_code, errors(response)) == (400, [(field, code)])
    assert not Device.objects.exists()


def test_read_only_key_cannot_upsert(reader: Api) -> None:
    register(device_payload(1))
    response = reader.post(f"{PARTIAL}&on_conflict=update", device_payload(1, device_name="x"))
    assert (response.status_code, errors(response)) == (403, [(None, "read_only")])
    assert Device.history.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("query", ["mode=partial", "on_conflict=update", "mode=partial&on_conflict=update"])
def test_concurrent_overlapping_arrays_register_each_device_once(query: str) -> None:
    key = issue("app").text
    posts = [[device_payload(n, device_type=kind) for n in range(40)] for kind in ("CONSUMER", "CORPORATE") * 3]
    responses = at_once(6, lambda n: Api(key).post(f"{DEVICES}?{query}", posts[n][:: 1 if n % 2 else -1]))
    statuses = Counter(status for response in responses for status, _content in results(response))
    assert (Device.objects.count(), statuses["created"]) == (40, 40)
    assert sum(statuses.values()) == 240
    assert statuses["updated"] == Device.history.filter(history_type="~").count()


# --- Dry runs


@pytest.mark.parametrize(
    ("sent", "registered"), [("true", 0), ("True", 0), ("1", 0), ("false", 1), ("False", 1), ("0", 1)]
)
def test_dry_run_is_a_boolean_in_the_notations_of_clients(api: Api, sent: str, registered: int) -> None:
    assert api.post(f"{DEVICES}?dry_run={sent}", device_payload(1)).status_code == 201
    assert Device.objects.count() == registered


def test_dry_run_returns_the_result_and_writes_nothing(api: Api) -> None:
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
        dry = api(method, f"{url}{'&' if '?' in url else '?'}dry_run=true", body)
        assert (list(Device.objects.values()), Device.history.count(), Hospital.objects.count()) == before
        real = api(method, url, body)
        assert dry.status_code == real.status_code
        assert comparable(dry.json()) == comparable(real.json()), (method, url)
        assert "ETag" not in dry


def comparable(value: Any) -> Any:
    """Return the body without ids, timestamps and the message, which differ from those of the real write."""
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if not isinstance(value, dict):
        return value
    different = {"id", "hospital_id", "created_at", "updated_at"} | (
        {"message"} if "code" in value and "status" in value else set()
    )
    return {key: comparable(content) for key, content in value.items() if key not in different}


def test_dry_run_has_no_ids_for_new_devices(api: Api) -> None:
    assert [
        row["id"] for row in api.post(f"{DEVICES}?dry_run=true", [device_payload(1), device_payload(2)]).json()["data"]
    ] == [None] * 2


def test_dry_run_needs_the_permissions_of_the_write(reader: Api, api_a: Api, devices: dict[str, Device]) -> None:
    assert reader.delete(f"/api/device/{devices['a'].pk}?dry_run=true").status_code == 403
    assert api_a.delete(f"/api/device/{devices['b'].pk}?dry_run=true").status_code == 404
