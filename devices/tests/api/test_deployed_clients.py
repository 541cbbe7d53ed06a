"""Requests of clients that are deployed, replayed with a key that was imported.

The Android app, the mobile modules (Fuel, Retrofit, Volley) and the web client are described by their public source.
"""

import json
from typing import Any

import pytest
from django.test import Client

from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.models import ApiKey, Hospital
from devices.tests.support.client import Api, errors
from devices.tests.support.factories import device_payload, register

KEY = "MTYzNTEzMDIzNDY0MA==16351302346401637558061370"
ORIGIN = "https://app.example.org"
# The class DeviceResponse of the Android app. Gson reads a number as a String or a Long.
DEVICE_RESPONSE: dict[str, type | tuple[type, ...]] = {
    "id": int,
    "deviceName": str,
    "deviceMac": str,
    "deviceType": str,
    "deviceHolder": str,
    "createdAt": int,
    "updatedAt": int,
}

pytestmark = pytest.mark.django_db


@pytest.fixture
def legacy(db: None) -> Api:
    api_keys.import_key(KEY, "First app", SYSTEM, all_hospitals=True)
    return Api(KEY)


def test_imported_key_reads_both_spellings_unless_another_naming_is_given(legacy: Api) -> None:
    assert ApiKey.objects.get(name="First app").naming == "both"
    camel = api_keys.import_key("x" * 16, "Web", SYSTEM, naming="camelCase")
    assert (camel.naming, camel.legacy) == ("camelCase", True)
    assert api_keys.issue("New", SYSTEM).key.naming == "snake_case"
    assert api_keys.rotate(ApiKey.objects.get(name="First app"), SYSTEM).key.naming == "both"


def test_android_app_reads_each_field_of_its_class(legacy: Api) -> None:
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    listed, detail = legacy.get("/api/devices").json(), legacy.get(f"/api/device/{device.pk}").json()
    for row in (listed["data"][0], detail["data"]):
        assert {name: type(row[name]) for name in DEVICE_RESPONSE} == DEVICE_RESPONSE
        assert row["createdAt"] > 10**12  # milliseconds
    assert 200 <= listed["code"] <= 299


GETS: dict[str, dict[str, str]] = {
    "Volley": {"content-type": "application/json; charset=utf-8"},
    "Retrofit": {"accept-encoding": "gzip", "user-agent": "okhttp/4.9.0"},
    "Fuel": {"content-type": "", "accept": "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"},
    "axios": {"content-type": "application/json", "access-control-allow-origin": "*", "origin": ORIGIN},
    "an empty Accept": {"accept": ""},
    "another key header": {"authorization": "Bearer none"},
}


@pytest.mark.parametrize("client", GETS)
@pytest.mark.parametrize("path", ["/api/devices", "/api/devices/", "/api/devices?page=1&&size=20"])
def test_each_client_reads_the_list(legacy: Api, client: str, path: str) -> None:
    register(device_payload(1))
    response = legacy.get(path, **GETS[client])
    assert (response.status_code, response.reason_phrase, len(response.json()["data"])) == (200, "OK", 1)


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=UTF-8", "application/json;"])
@pytest.mark.parametrize("path", ["/api/devices", "/api/device"])
def test_each_client_registers_one_object(legacy: Api, path: str, content_type: str) -> None:
    response = legacy.client.post(path, json.dumps(device_payload(1)), content_type, headers={"x-api-key": KEY})
    assert (response.status_code, response.json()["data"][0]["deviceName"]) == (201, "Cuff 1")


@pytest.mark.parametrize("holder", [None, "", " ", "-"])
def test_hospital_that_jackson_writes_for_nothing_is_not_given(legacy: Api, rs_a: Hospital, holder: str | None) -> None:
    [device] = legacy.post("/api/devices", [device_payload(1, device_holder=holder)]).json()["data"]
    assert device["device_holder"] == "unknown"
    legacy.patch(f"/api/device/{device['id']}", {"deviceHolder": rs_a.name})
    kept = legacy.put(f"/api/device/{device['id']}", device_payload(1, device_holder=holder)).json()["data"]
    assert kept["deviceHolder"] == rs_a.name


def test_nulls_in_the_other_spelling_have_no_effect(legacy: Api) -> None:
    response = legacy.post("/api/devices", {**device_payload(1), "deviceName": None, "deviceHolder": None})
    assert response.json()["data"][0]["device_name"] == "Cuff 1"


OTHER_SERVICES = [
    *(("POST", "/api/login"), ("GET", "/api/users"), ("GET", "/api/measurements"), ("POST", "/api/measurement")),
    *(("GET", "/api/api-keys/hospital/7"), ("POST", "/api/api-key"), ("DELETE", "/api/api-key/7")),
    *(("POST", "/api/hospital"), ("PUT", "/api/hospital/7"), ("DELETE", "/api/hospital/7")),
]


@pytest.mark.parametrize(("method", "path"), OTHER_SERVICES)
@pytest.mark.parametrize("slash", ["", "/"])
def test_routes_of_other_services_return_an_error_that_a_page_can_read(
    legacy: Api, method: str, path: str, slash: str
) -> None:
    response: Any = legacy(method, path + slash, {}, origin=ORIGIN)
    expected = (404, [(None, "endpoint_not_found")])
    if response.status_code == 405:  # the registry has this path with another method
        expected = (405, [(None, "method_not_allowed")])
        assert path.startswith("/api/hospital/")
    assert (response.status_code, errors(response)) == expected
    assert (response["Access-Control-Allow-Origin"], response["Content-Type"]) == (ORIGIN, "application/json")
    preflight = {
        "origin": ORIGIN,
        "access-control-request-method": method,
        "access-control-request-headers": "x-api-key,content-type,access-control-allow-origin",
    }
    assert Client().options(path + slash, headers=preflight)["Access-Control-Allow-Origin"] == ORIGIN
    assert Api("x" * 20)(method, path + slash, {}, origin=ORIGIN).status_code == 401
