import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.models import Device, Hospital
from devices.registry import device_data
from devices.tests.support.client import Api, errors
from devices.tests.support.factories import MAC, device_payload, register


def tables() -> tuple[int, int, int]:
    return Device.objects.count(), Hospital.objects.count(), Device.history.count()


def test_a_list_is_registered_and_returned_in_the_posted_order(api: Api) -> None:
    response = api.post("/api/devices", [device_payload(n) for n in (3, 1, 2)])
    assert response.status_code == 201
    body = response.json()
    assert (body["status"], body["code"]) == ("CREATED", 201)
    assert [device["device_name"] for device in body["data"]] == ["Cuff 3", "Cuff 1", "Cuff 2"]
    assert [device["id"] for device in body["data"]] == sorted(device["id"] for device in body["data"])
    for device in body["data"]:
        assert api.get(f"/api/device/{device['id']}").json()["data"] == device


@pytest.mark.parametrize("path", ["/api/devices", "/api/device", "/api/devices/", "/api/device/"])
def test_a_single_object_is_a_list_of_one_at_both_addresses(api: Api, path: str) -> None:
    response = api.post(path, device_payload(1))
    assert response.status_code == 201
    assert [device["device_name"] for device in response.json()["data"]] == ["Cuff 1"]


def test_a_device_is_kept_in_its_normal_form(api: Api) -> None:
    sent = {
        "id": 4711,
        "device_name": "  E86 5894 ",
        "device_mac": "d0-61-ae-d4-58-94",
        "device_type": "corporate",
        "device_holder": " RS Harapan ",
        "created_at": 1,
        "colour": "white",
    }
    device = api.post("/api/devices", sent).json()["data"][0]
    assert device["id"] != 4711
    assert device["created_at"] > 1
    assert {name: device[name] for name in device_data.CLEANERS} == {
        "device_name": "E86 5894",
        "device_mac": "D0:61:AE:D4:58:94",
        "device_type": "CORPORATE",
        "device_holder": "RS Harapan",
    }
    assert "colour" not in device


@pytest.mark.parametrize("holder", [{}, {"device_holder": "unknown"}, {"device_holder": " UNKNOWN "}])
def test_a_holder_left_out_or_unknown_is_no_hospital(api: Api, holder: dict[str, str]) -> None:
    assert api.post("/api/devices", device_payload(1, **holder)).json()["data"][0]["device_holder"] == "unknown"
    assert not Hospital.objects.exists()


def test_spellings_of_one_hospital_are_one_hospital(api: Api) -> None:
    names = ["RS Müller", "rs müller", " RS MÜLLER "]
    body = api.post("/api/devices", [device_payload(n, device_holder=name) for n, name in enumerate(names)]).json()
    assert {device["device_holder"] for device in body["data"]} == {"RS Müller"}
    assert (
        api.post("/api/devices", device_payload(9, device_holder="rs müller")).json()["data"][0]["device_holder"]
        == "RS Müller"
    )
    assert Hospital.objects.count() == Hospital.history.count() == 1


def test_an_id_is_never_given_again(api: Api) -> None:
    first = api.post("/api/devices", device_payload(1)).json()["data"][0]["id"]
    api.delete(f"/api/device/{first}")
    assert api.post("/api/devices", device_payload(1)).json()["data"][0]["id"] > first


BAD_BODIES: dict[str, tuple[Any, int, str]] = {
    "no body": (None, 400, "required"),
    "an empty list": ([], 400, "empty"),
    "a string": ("device", 400, "invalid"),
    "a number": (7, 400, "invalid"),
    "null": (b"null", 400, "invalid"),
    "nested lists": ([[device_payload(1)]], 400, "invalid"),
    "broken JSON": (b'[{"device_name": ', 400, "parse_error"),
    "deep nesting": (b"[" * 100_000, 400, "parse_error"),
    "broken UTF-8": (b'[{"device_name": "\xff"}]', 400, "parse_error"),
    "a lone surrogate": (b'[{"device_name": "\\ud800"}]', 400, "parse_error"),
    "not a number": (b'[{"device_name": NaN}]', 400, "parse_error"),
    "10,001 devices": ([{}] * 10_001, 413, "too_large"),
    "9 MiB": (b" " * (9 * 1024 * 1024), 413, "too_large"),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_body_of_another_shape_is_refused(api: Api, case: str) -> None:
    body, status, code = BAD_BODIES[case]
    before = tables()
    response = api.post("/api/devices", body)
    assert (response.status_code, response.json()["code"]) == (status, status)
    assert errors(response)[0] == (None, code)
    assert response.json()["data"] == []
    assert tables() == before


BAD_FIELDS: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "nothing": ({}, [("device_name", "required"), ("device_mac", "required"), ("device_type", "required")]),
    "null fields": (dict.fromkeys(device_data.CLEANERS), [(field, "null") for field in device_data.CLEANERS]),
    "numbers": (
        device_payload(1, device_name=7, device_holder=3.5),
        [("device_name", "invalid"), ("device_holder", "invalid")],
    ),
    "a 256-character name": (device_payload(1, device_name="x" * 256), [("device_name", "max_length")]),
    "a name of spaces": (device_payload(1, device_name="   "), [("device_name", "blank")]),
    "an empty holder": (device_payload(1, device_holder=""), [("device_holder", "blank")]),
    "a long holder": (device_payload(1, device_holder="x" * 256), [("device_holder", "max_length")]),
    "NUL characters": (device_payload(1, device_name="a\x00b"), [("device_name", "characters")]),
    "what stands for broken bytes": (device_payload(1, device_name="a\ufffdb"), [("device_name", "characters")]),
    "no character": (device_payload(1, device_name="a\uffffb"), [("device_name", "characters")]),
    "a control character": (device_payload(1, device_name="a\x1bb"), [("device_name", "characters")]),
    "a text-direction override": (device_payload(1, device_name="a\u202eb"), [("device_name", "characters")]),
    "a MAC of 11 digits": (device_payload(1, device_mac="D061AED4589"), [("device_mac", "mac")]),
    "a MAC of mixed notation": (device_payload(1, device_mac="D0:61-AE:D4:58:94"), [("device_mac", "mac")]),
    "a maker's code": (device_payload(1, device_mac="001-20210101-0001"), [("device_mac", "mac")]),
    "an unknown type": (device_payload(1, device_type="PHONE"), [("device_type", "invalid_choice")]),
    "a type with a letter like an S": (
        device_payload(1, device_type="CON\u017fUMER"),
        [("device_type", "invalid_choice")],
    ),
    "a list for a name": (device_payload(1, device_name=["x"]), [("device_name", "invalid")]),
}


@pytest.mark.parametrize("case", BAD_FIELDS)
def test_a_malformed_field_is_named_with_its_index(api: Api, case: str) -> None:
    fields, expected = BAD_FIELDS[case]
    before = tables()
    response = api.post("/api/devices", [device_payload(100), fields, device_payload(101, device_holder="RS Baru")])
    assert response.status_code == 400
    assert errors(response) == expected
    assert {error["index"] for error in response.json()["errors"]} == {1}
    assert tables() == before


def test_the_longest_name_is_taken(api: Api) -> None:
    assert (
        api.post("/api/devices", device_payload(1, device_name="é" * 255, device_holder="ΐ" * 255)).status_code == 201
    )


def test_one_mac_twice_in_a_list_in_two_notations_is_refused(api: Api) -> None:
    before = tables()
    response = api.post(
        "/api/devices",
        [device_payload(1, device_mac=MAC), device_payload(2), device_payload(3, device_mac="d061aed45894")],
    )
    assert response.status_code == 400
    assert response.json()["errors"] == [
        {
            "field": "device_mac",
            "code": "duplicate",
            "message": "The device at index 0 of this list has the same MAC address.",
            "index": 2,
        }
    ]
    assert tables() == before


def test_what_is_taken_is_a_conflict_by_index_that_does_not_tell_whose(api_a: Api, api_b: Api) -> None:
    api_a.post("/api/devices", [device_payload(1), device_payload(2)])
    before = tables()
    posted = [
        device_payload(5),
        device_payload(6, device_name="Cuff 1"),
        device_payload(7, device_mac=device_payload(1)["device_mac"]),
        device_payload(2),
    ]
    response = api_b.post("/api/devices", posted)
    assert response.status_code == 409
    assert [(error["index"], error["field"], error["code"]) for error in response.json()["errors"]] == [
        (1, "device_name", "unique"),
        (2, "device_mac", "unique"),
        (3, "device_name", "unique"),
        (3, "device_mac", "unique"),
    ]
    assert b"Harapan" not in response.content
    assert tables() == before


def test_every_wrong_item_is_listed_whatever_is_wrong_with_it(api: Api) -> None:
    register(device_payload(1))
    response = api.post(
        "/api/devices", [device_payload(1), device_payload(2, device_type="X"), device_payload(3), device_payload(3)]
    )
    assert response.status_code == 400
    assert [(error["index"], error["code"]) for error in response.json()["errors"]] == [
        (0, "unique"),
        (0, "unique"),
        (1, "invalid_choice"),
        (3, "duplicate"),
        (3, "duplicate"),
    ]


def test_where_the_settings_allow_it_a_makers_code_stands_for_a_mac(api: Api, settings: Any) -> None:
    settings.DEVICES_ALLOW_NON_MAC = True
    body = api.post(
        "/api/devices",
        [device_payload(1, device_mac="001-20210101-0001a"), device_payload(2, device_mac="d061aed45894")],
    ).json()
    assert [device["device_mac"] for device in body["data"]] == ["001-20210101-0001A", MAC]
    for code in ("abc", "x" * 65, "a b c d", "kode-é"):
        assert errors(api.post("/api/devices", device_payload(3, device_mac=code))) == [("device_mac", "mac")]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_another_content_type_is_refused(api: Api, content_type: str) -> None:
    headers = {**api.headers}
    response = api.client.generic("POST", "/api/devices", b"[]", content_type, headers=headers)
    assert response.status_code == 415
    assert response.json()["status"] == "UNSUPPORTED_MEDIA_TYPE"


def test_a_byte_order_mark_is_passed_over(api: Api) -> None:
    assert api.post("/api/devices", b"\xef\xbb\xbf" + json.dumps(device_payload(1)).encode()).status_code == 201


def test_the_number_of_queries_does_not_grow_with_the_list(api: Api) -> None:
    register(*(device_payload(n, device_holder=f"RS {n}") for n in range(7)))
    api.get("/api/devices")
    registering, conflicting = set(), set()
    for count, start in ((1, 10), (100, 1_000), (10_000, 100_000)):
        posted = [device_payload(start + n, device_holder=f"RS {n % 7}") for n in range(count)]
        with CaptureQueriesContext(connection) as queries:
            assert api.post("/api/devices", posted).status_code == 201
        registering.add(len(queries))
        with CaptureQueriesContext(connection) as queries:
            response = api.post("/api/devices", posted)
        assert response.status_code == 409
        assert len(response.json()["errors"]) == 2 * count
        conflicting.add(len(queries))
    assert len(registering) == len(conflicting) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("query", ["", "?on_conflict=update"])
def test_malformed_device_is_rejected_without_a_transaction(api: Api, query: str) -> None:
    api.get("/api/devices")  # notes the use of the key
    with CaptureQueriesContext(connection) as queries:
        assert api.post(f"/api/devices{query}", [device_payload(1, device_mac="x")]).status_code == 400
    assert not [query for query in queries if query["sql"].startswith("BEGIN")]
