"""POST /api/devices and /api/device."""

import gzip
import json
import zlib
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.models import Device, Hospital
from devices.registry import device_fields
from devices.tests.support.client import Api, errors
from devices.tests.support.factories import MAC, device_payload, register


def tables() -> tuple[int, int, int]:
    return Device.objects.count(), Hospital.objects.count(), Device.history.count()


def test_devices_are_returned_in_the_posted_order(api: Api) -> None:
    response = api.post("/api/devices", [device_payload(n) for n in (3, 1, 2)])
    assert response.status_code == 201
    body = response.json()
    assert (body["status"], body["code"]) == ("CREATED", 201)
    assert [device["device_name"] for device in body["data"]] == ["Cuff 3", "Cuff 1", "Cuff 2"]
    assert [device["id"] for device in body["data"]] == sorted(device["id"] for device in body["data"])
    for device in body["data"]:
        assert api.get(f"/api/device/{device['id']}").json()["data"] == device


@pytest.mark.parametrize("path", ["/api/devices", "/api/device", "/api/devices/", "/api/device/"])
def test_single_object_is_accepted_at_both_endpoints(api: Api, path: str) -> None:
    response = api.post(path, device_payload(1))
    assert response.status_code == 201
    assert [device["device_name"] for device in response.json()["data"]] == ["Cuff 1"]


def test_fields_are_stored_normalized(api: Api) -> None:
    sent = {
        "id": 4711,
        "device_name": "  E86 5894 ",
        "device_mac": "d0-61-ae-d4-58-94",
        "device_type": "corporate",
        "device_holder": " RS Harapan ",
        "created_at": 1,
        "color": "white",
    }
    device = api.post("/api/devices", sent).json()["data"][0]
    assert device["id"] != 4711
    assert device["created_at"] > 1
    assert {name: device[name] for name in device_fields.CLEANERS} == {
        "device_name": "E86 5894",
        "device_mac": "D0:61:AE:D4:58:94",
        "device_type": "CORPORATE",
        "device_holder": "RS Harapan",
    }
    assert "color" not in device


@pytest.mark.parametrize("holder", [{}, {"device_holder": "unknown"}, {"device_holder": " UNKNOWN "}])
def test_omitted_or_unknown_hospital_means_no_hospital(api: Api, holder: dict[str, str]) -> None:
    assert api.post("/api/devices", device_payload(1, **holder)).json()["data"][0]["device_holder"] == "unknown"
    assert not Hospital.objects.exists()


def test_names_that_normalize_to_the_same_text_are_one_hospital(api: Api) -> None:
    names = ["RS Müller", "rs müller", " RS MÜLLER "]
    body = api.post("/api/devices", [device_payload(n, device_holder=name) for n, name in enumerate(names)]).json()
    assert {device["device_holder"] for device in body["data"]} == {"RS Müller"}
    assert (
        api.post("/api/devices", device_payload(9, device_holder="rs müller")).json()["data"][0]["device_holder"]
        == "RS Müller"
    )
    assert Hospital.objects.count() == Hospital.history.count() == 1


def test_id_is_never_reused(api: Api) -> None:
    first = api.post("/api/devices", device_payload(1)).json()["data"][0]["id"]
    api.delete(f"/api/device/{first}")
    assert api.post("/api/devices", device_payload(1)).json()["data"][0]["id"] > first


BAD_BODIES: dict[str, tuple[Any, int, str]] = {
    "no body": (None, 400, "body_required"),
    "an empty array": ([], 400, "empty"),
    "a string": ("device", 400, "invalid_type"),
    "a number": (7, 400, "invalid_type"),
    "null": (b"null", 400, "invalid_type"),
    "nested arrays": ([[device_payload(1)]], 400, "invalid_type"),
    "broken JSON": (b'[{"device_name": ', 400, "invalid_json"),
    "deep nesting": (b"[" * 100_000, 400, "invalid_json"),
    "broken UTF-8": (b'[{"device_name": "\xff"}]', 400, "invalid_json"),
    "a lone surrogate": (b'[{"device_name": "\\ud800"}]', 400, "invalid_json"),
    "not a number": (b'[{"device_name": NaN}]', 400, "invalid_json"),
    "10,001 devices": ([{}] * 10_001, 413, "too_many_items"),
    "9 MiB": (b" " * (9 * 1024 * 1024), 413, "too_large"),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_malformed_body_is_rejected(api: Api, case: str) -> None:
    body, status, code = BAD_BODIES[case]
    before = tables()
    response = api.post("/api/devices", body)
    assert (response.status_code, response.json()["code"]) == (status, status)
    assert errors(response)[0] == (None, code)
    assert response.json()["data"] == []
    assert tables() == before


BAD_FIELDS: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "nothing": ({}, [("device_name", "required"), ("device_mac", "required"), ("device_type", "required")]),
    "null fields": (
        dict.fromkeys(device_fields.CLEANERS),
        [(field, "null") for field in device_fields.REQUIRED_FIELDS],
    ),
    "fractions": (
        device_payload(1, device_name=7.0, device_holder=3.5),
        [("device_name", "invalid_type"), ("device_holder", "invalid_type")],
    ),
    "a 256-character name": (device_payload(1, device_name="x" * 256), [("device_name", "max_length")]),
    "a name of spaces": (device_payload(1, device_name="   "), [("device_name", "blank")]),
    "a long hospital": (device_payload(1, device_holder="x" * 256), [("device_holder", "max_length")]),
    "NUL characters": (device_payload(1, device_name="a\x00b"), [("device_name", "characters")]),
    "a replacement character": (device_payload(1, device_name="a\ufffdb"), [("device_name", "characters")]),
    "a noncharacter": (device_payload(1, device_name="a\uffffb"), [("device_name", "characters")]),
    "a control character": (device_payload(1, device_name="a\x1bb"), [("device_name", "characters")]),
    "a text-direction override": (device_payload(1, device_name="a\u202eb"), [("device_name", "characters")]),
    "a MAC of 11 digits": (device_payload(1, device_mac="D061AED4589"), [("device_mac", "mac")]),
    "a MAC of mixed notation": (device_payload(1, device_mac="D0:61-AE:D4:58:94"), [("device_mac", "mac")]),
    "a manufacturer ID": (device_payload(1, device_mac="001-20210101-0001"), [("device_mac", "mac")]),
    "an unknown type": (device_payload(1, device_type="PHONE"), [("device_type", "invalid_choice")]),
    "a type with a letter like an S": (
        device_payload(1, device_type="CON\u017fUMER"),
        [("device_type", "invalid_choice")],
    ),
    "an array for a name": (device_payload(1, device_name=["x"]), [("device_name", "invalid_type")]),
}


@pytest.mark.parametrize("case", BAD_FIELDS)
def test_malformed_field_is_reported_with_its_index(api: Api, case: str) -> None:
    fields, expected = BAD_FIELDS[case]
    before = tables()
    response = api.post("/api/devices", [device_payload(100), fields, device_payload(101, device_holder="RS Baru")])
    assert response.status_code == 400
    assert errors(response) == expected
    assert {error["index"] for error in response.json()["errors"]} == {1}
    assert tables() == before


def test_longest_name_is_accepted(api: Api) -> None:
    assert (
        api.post("/api/devices", device_payload(1, device_name="é" * 255, device_holder="ΐ" * 255)).status_code == 201
    )


def test_same_mac_in_two_notations_is_a_duplicate(api: Api) -> None:
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
            "message": "Duplicate MAC address: the device at index 0 of the array has the same one.",
            "index": 2,
        }
    ]
    assert tables() == before


def test_conflict_has_its_index_and_does_not_reveal_the_hospital(api_a: Api, api_b: Api) -> None:
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


def test_errors_of_all_kinds_are_listed_together(api: Api) -> None:
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


def test_manufacturer_ids_are_accepted_if_the_settings_allow_them(api: Api, settings: Any) -> None:
    settings.DEVICES_ALLOW_NON_MAC = True
    body = api.post(
        "/api/devices",
        [device_payload(1, device_mac="001-20210101-0001a"), device_payload(2, device_mac="d061aed45894")],
    ).json()
    assert [device["device_mac"] for device in body["data"]] == ["001-20210101-0001A", MAC]
    for code in ("abc", "x" * 65, "a b c d", "kode-é"):
        assert errors(api.post("/api/devices", device_payload(3, device_mac=code))) == [("device_mac", "mac")]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_other_content_types_return_415(api: Api, content_type: str) -> None:
    headers = {**api.headers}
    response = api.client.generic("POST", "/api/devices", b"[]", content_type, headers=headers)
    assert response.status_code == 415
    assert response.json()["status"] == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "br", "zstd", "GZIP", "gzip, identity", "nonsense"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_compressed_body_returns_415_with_the_accepted_encoding(api: Api, method: str, encoding: str) -> None:
    [device] = register(device_payload(1))
    path = "/api/devices" if method == "POST" else f"/api/device/{device.pk}"
    plain = json.dumps(device_payload(2)).encode()
    for body in (gzip.compress(plain), zlib.compress(plain), plain):
        response = api(method, path, body, **{"content-encoding": encoding, "idempotency-key": f"{len(body)}"})
        assert (response.status_code, errors(response)) == (415, [(None, "unsupported_media_type")])
        assert response["Accept-Encoding"] == "identity"
        assert "Content-Encoding" in response.json()["message"]
    assert Device.objects.get().device_name == "Cuff 1"


@pytest.mark.parametrize("encoding", ["", "identity", "Identity", " identity "])
def test_body_that_is_not_compressed_is_read(api: Api, encoding: str) -> None:
    assert api.post("/api/devices", device_payload(1), **{"content-encoding": encoding}).status_code == 201


def test_content_encoding_without_a_body_is_ignored(api: Api) -> None:
    assert api.get("/api/devices", **{"content-encoding": "gzip"}).status_code == 200


def test_byte_order_mark_is_ignored(api: Api) -> None:
    assert api.post("/api/devices", b"\xef\xbb\xbf" + json.dumps(device_payload(1)).encode()).status_code == 201


def test_number_of_queries_does_not_grow_with_the_array(api: Api) -> None:
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
    api.get("/api/devices")  # writes last_used_at of the key
    with CaptureQueriesContext(connection) as queries:
        assert api.post(f"/api/devices{query}", [device_payload(1, device_mac="x")]).status_code == 400
    assert not [query for query in queries if query["sql"].startswith("BEGIN")]
