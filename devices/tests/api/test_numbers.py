"""A JSON integer in place of a string is read as its decimal digits. Other numbers and booleans are invalid."""

from typing import Any

import pytest

from devices.models import Hospital
from devices.tests.support.client import Api, errors
from devices.tests.support.factories import device_payload, register

LARGEST = 2**64 - 1  # the JSON parser reads larger integers as floating-point numbers
MAC_DIGITS = 123456789012

pytestmark = pytest.mark.django_db


def post(api: Api, path: str, **fields: Any) -> Any:
    return api.post(path, [device_payload(1, **fields)])


@pytest.mark.parametrize("path", ["/api/devices", "/api/device", "/api/devices?dry_run=true"])
@pytest.mark.parametrize("number", [5894, 0, -5, 2**53 + 1, 2**63 - 1, -(2**63), LARGEST])
def test_integer_name_and_hospital_are_read_as_their_digits(api: Api, path: str, number: int) -> None:
    response = post(api, path, device_name=number, device_holder=number)
    assert response.status_code == 201
    [device] = response.json()["data"]
    assert device["device_name"] == str(number)
    assert device["device_holder"] == (str(number) if number else "unknown")  # 0 is the result of a broken formula


def test_number_and_text_with_the_same_digits_are_the_same_name(api: Api) -> None:
    assert post(api, "/api/device", device_name="5894").status_code == 201
    assert errors(api.post("/api/device", device_payload(2, device_name=5894))) == [("device_name", "unique")]
    both = [device_payload(3, device_name=7), device_payload(4, device_name="7")]
    assert errors(api.post("/api/devices", both)) == [("device_name", "duplicate")]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_update_reads_integers(api: Api, method: str) -> None:
    [device] = register(device_payload(1))
    body = device_payload(1, device_name=5894, device_mac=MAC_DIGITS, device_holder=7)
    changed = api(method, f"/api/device/{device.pk}", body).json()["data"]
    assert [changed[name] for name in ("device_name", "device_mac", "device_holder")] == [
        "5894",
        "12:34:56:78:90:12",
        "7",
    ]


def test_put_without_an_id_in_the_url_finds_the_device_by_the_digits(api: Api) -> None:
    register(device_payload(1, device_mac="12:34:56:78:90:12"))
    body = device_payload(1, device_name=5894, device_mac=MAC_DIGITS)
    assert api.put("/api/device", body).json()["data"]["device_name"] == "5894"
    assert api.put("/api/device", {**body, "device_mac": MAC_DIGITS + 1}).status_code == 404


def test_each_item_of_a_partial_request_can_have_integers(api: Api, camel: Api) -> None:
    rows = [{"deviceName": 1, "deviceMac": MAC_DIGITS, "deviceType": "consumer"}, device_payload(2, device_name=1.5)]
    for client, path in ((api, "?mode=partial"), (camel, "?on_conflict=update&mode=partial&dry_run=true")):
        results = client.post(f"/api/devices{path}", rows).json()["data"]
        assert [result["status"] for result in results] == [("created", "unchanged")[client is camel], "invalid"]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (MAC_DIGITS, "12:34:56:78:90:12"),
        (112233445500, None),  # may have been 1122334455E2
        (1234567890123456, None),  # spreadsheets keep 15 digits
        (12345678901, None),  # a leading zero is lost
        (1234567890123, None),
        (-123456789012, None),
        (0, None),
        (LARGEST, None),
    ],
)
def test_integer_mac_must_have_the_digits_of_an_address(api: Api, number: int, expected: str | None) -> None:
    response = post(api, "/api/device", device_mac=number)
    if expected:
        assert response.json()["data"][0]["device_mac"] == expected
    else:
        assert errors(response) == [("device_mac", "mac")]


def test_integer_can_be_a_manufacturer_id_if_the_settings_allow_them(api: Api, settings: Any) -> None:
    settings.DEVICES_ALLOW_NON_MAC = True
    assert post(api, "/api/device", device_mac=5894).json()["data"][0]["device_mac"] == "5894"
    assert errors(api.post("/api/device", device_payload(2, device_mac=589))) == [("device_mac", "mac")]


NOT_INTEGERS = ["true", "false", "1e3", "5894.0", "-0.5", "18446744073709551616", "-9223372036854775809", "[1]", "{}"]


@pytest.mark.parametrize("text", NOT_INTEGERS)
@pytest.mark.parametrize("field", ["device_name", "device_mac", "device_type", "device_holder"])
def test_other_values_are_invalid(api: Api, field: str, text: str) -> None:
    [device] = register(device_payload(9))
    body = f'{{"{field}": {text}}}'.encode()
    assert errors(api.patch(f"/api/device/{device.pk}", body)) == [(field, "invalid_type")]


def test_integer_type_is_not_a_type(api: Api) -> None:
    assert errors(post(api, "/api/device", device_type=1)) == [("device_type", "invalid_choice")]


def test_integer_hospital_is_limited_to_the_scope(api_a: Api, rs_a: Hospital) -> None:
    assert errors(post(api_a, "/api/device", device_holder=7)) == [("device_holder", "forbidden")]
    assert post(api_a, "/api/device", device_holder=0).json()["data"][0]["device_holder"] == rs_a.name
