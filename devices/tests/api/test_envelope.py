import re
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cexup.logs import LineFormatter
from devices.api.views import devices
from devices.tests.support.client import Api, errors
from devices.tests.support.factories import device_payload, register
from devices.values.errors import status_name


def test_an_unmatched_route_is_not_found_in_the_envelope(api: Api) -> None:
    for path in ("/api", "/api/", "/api/nope", "/api/devices/1", "/api/device/1/x", "/api//devices"):
        response = api.get(path)
        assert response.status_code == 404, path
        assert response["Content-Type"] == "application/json"
        assert response.json()["data"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/api/devices"), ("DELETE", "/api/devices"), ("GET", "/api/device"), ("POST", "/api/device/1")],
)
def test_a_method_that_is_not_there_is_told_which_are(api: Api, method: str, path: str) -> None:
    response = api(method, path)
    assert (response.status_code, response.json()["status"]) == (405, "METHOD_NOT_ALLOWED")
    assert method not in response["Allow"].split(", ")
    assert errors(response) == [(None, "method_not_allowed")]


def test_a_method_that_a_page_has_not_is_an_envelope_too(api: Api) -> None:
    for path in ("/api/docs", "/api/schema"):
        response = api.post(path, {}, **{"accept-language": "id"})
        assert (response.status_code, response["Content-Type"]) == (405, "application/json")
        assert response.json()["message"] == "Alamat ini tidak melayani metode tersebut."


def test_the_log_of_a_failure_names_its_request(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(devices.DeviceViewSet, "list", fail)
    monkeypatch.setattr(caplog.handler, "formatter", LineFormatter())
    api.get("/api/devices", **{"x-request-id": "request-9"})
    records = [line for line in caplog.text.splitlines() if not line.startswith(" ")]
    assert records
    assert all("[request-9]" in record for record in records)


def test_an_uncaught_exception_is_an_envelope_without_a_trace(
    api: Api, monkeypatch: pytest.MonkeyPatch, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: Any) -> None:
        raise RuntimeError("very secret")

    monkeypatch.setattr(devices.DeviceViewSet, "list", fail)
    for settings.DEBUG in (False, True):
        response = api.get("/api/devices")
        assert (response.status_code, response.json()["status"]) == (500, "INTERNAL_SERVER_ERROR")
        assert b"secret" not in response.content
        assert b"Traceback" not in response.content
    assert "very secret" in caplog.text
    assert api.headers["x-api-key"] not in caplog.text


def test_an_exception_in_a_middleware_is_an_envelope_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any) -> None:
        raise RuntimeError("very secret")

    monkeypatch.setattr("cexup.middleware.patch_vary_headers", fail)
    response = api.get("/api/devices")
    assert (response.status_code, response.json()["code"]) == (500, 500)
    assert b"secret" not in response.content


def test_a_database_that_fails_is_unavailable_for_a_moment(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any) -> None:
        raise OperationalError("connection to 10.0.0.1 refused")

    monkeypatch.setattr(devices.DeviceViewSet, "list", fail)
    response = api.get("/api/devices")
    assert (response.status_code, response.json()["status"]) == (503, "SERVICE_UNAVAILABLE")
    assert response["Retry-After"] == "1"
    assert b"10.0.0.1" not in response.content


def test_a_host_that_is_not_ours_is_refused_in_the_envelope(api: Api) -> None:
    response = api.get("/api/devices", host="evil.example.org")
    assert (response.status_code, response.json()["status"]) == (400, "BAD_REQUEST")


def test_outside_the_api_a_page_is_a_page(client: Client) -> None:
    response = client.get("/nope")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "*/*", "nonsense"])
def test_the_answer_is_json_whatever_is_accepted(api: Api, accept: str) -> None:
    response = api.get("/api/devices", accept=accept)
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


def test_the_names_of_statuses_are_the_same_in_every_python() -> None:
    assert [status_name(code) for code in (200, 410, 413, 414, 422)] == [
        "OK",
        "GONE",
        "CONTENT_TOO_LARGE",
        "URI_TOO_LONG",
        "UNPROCESSABLE_CONTENT",
    ]


@pytest.mark.parametrize("sent", ["a", "x" * 128, "0af7651916cd-43dd.8448_eb"])
def test_a_sane_request_id_is_kept(api: Api, sent: str) -> None:
    assert api.get("/api/devices", **{"x-request-id": sent})["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "a b", "a\nb", "é", "<script>"])
@pytest.mark.parametrize("path", ["/api/devices", "/api/nope", "/healthz", "/nope"])
def test_any_other_request_id_is_replaced(api: Api, sent: str, path: str) -> None:
    assert re.fullmatch("[0-9a-f]{32}", api.get(path, **{"x-request-id": sent})["X-Request-ID"])


@pytest.mark.parametrize(
    ("accepted", "message"),
    [
        ("", "Devices found."),
        ("fr", "Devices found."),
        ("en", "Devices found."),
        ("id", "Perangkat ditemukan."),
        ("id-ID,id;q=0.9,en;q=0.8", "Perangkat ditemukan."),
        ("en;q=0.9,id;q=0.8", "Devices found."),
        ("in-ID, en;q=0.5", "Perangkat ditemukan."),
        ("IN", "Perangkat ditemukan."),
        ("en-IN", "Devices found."),
    ],
)
def test_the_message_is_in_the_clients_language(api: Api, accepted: str, message: str) -> None:
    assert api.get("/api/devices", **{"accept-language": accepted}).json()["message"] == message


def test_errors_are_in_the_clients_language_too(api: Api) -> None:
    body = api.post("/api/devices", device_payload(1, device_mac="x"), **{"accept-language": "id"}).json()
    assert body["errors"][0]["message"].startswith("Ini bukan alamat MAC.")
    assert api.get("/api/nope", **{"accept-language": "id"}).json()["message"] != api.get("/api/nope").json()["message"]


# --- Browser clients from other origins


ORIGIN = "https://app.example.org"
HEADERS = (
    "x-api-key, content-type, accept, accept-language, if-match, if-none-match, idempotency-key, x-request-id, "
    "access-control-allow-origin"
)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_preflight_is_answered_for_a_configured_origin(outsider: Api, method: str) -> None:
    response = outsider(
        "OPTIONS",
        "/api/devices",
        **{"origin": ORIGIN, "access-control-request-method": method, "access-control-request-headers": HEADERS},
    )
    assert response.status_code == 200
    assert response["Access-Control-Allow-Origin"] == ORIGIN
    assert method in response["Access-Control-Allow-Methods"].split(", ")
    allowed = {name.strip() for name in response["Access-Control-Allow-Headers"].split(",")}
    assert allowed >= {name.strip() for name in HEADERS.split(",")}


def test_another_origin_gets_no_permission(api: Api) -> None:
    assert "Access-Control-Allow-Origin" not in api.get("/api/devices", origin="https://evil.example.org")


def test_errors_can_be_read_from_another_origin_too(outsider: Api) -> None:
    response = outsider.get("/api/devices", origin=ORIGIN)
    assert (response.status_code, response["Access-Control-Allow-Origin"]) == (401, ORIGIN)


# --- camelCase


def test_a_camel_case_key_reads_and_writes_camel_case(camel: Api) -> None:
    sent = {"deviceName": "Cuff 1", "deviceMac": "000000000001", "deviceType": "consumer", "deviceHolder": "RS Harapan"}
    body = camel.post("/api/devices", [sent]).json()
    device = body["data"][0]
    assert list(device) == ["id", "deviceName", "deviceMac", "deviceType", "deviceHolder", "createdAt", "updatedAt"]
    assert (device["deviceMac"], device["deviceType"]) == ("00:00:00:00:00:01", "CONSUMER")
    assert list(body) == ["status", "code", "message", "data"]
    listed = camel.get("/api/devices").json()
    assert listed["data"] == [device]
    assert "total_pages" in listed["pagination"]
    assert camel.get(f"/api/device/{device['id']}").json()["data"] == device


def test_snake_case_wins_where_both_stand_for_that_is_what_was_edited(camel: Api) -> None:
    device = camel.post("/api/devices", device_payload(1)).json()["data"][0]
    edited = {**device, "device_name": "Edited"}
    assert camel.put("/api/device", edited).json()["data"]["deviceName"] == "Edited"


def test_errors_name_the_field_as_the_key_spells_it(camel: Api) -> None:
    assert errors(camel.post("/api/devices", {"deviceName": " "})) == [
        ("deviceName", "blank"),
        ("deviceMac", "required"),
        ("deviceType", "required"),
    ]


def test_a_parameter_has_one_spelling_for_every_key(camel: Api) -> None:
    assert errors(camel.get("/api/devices?device_type=PHONE")) == [("device_type", "invalid_choice")]


def test_other_keys_know_no_camel_case(api: Api) -> None:
    [device] = register(device_payload(1))
    api.patch(f"/api/device/{device.pk}", {"deviceName": "Ignored"})
    assert api.get(f"/api/device/{device.pk}").json()["data"]["device_name"] == "Cuff 1"


def test_the_api_asks_for_no_session_and_keeps_the_headers_of_every_page(api: Api) -> None:
    with CaptureQueriesContext(connection) as queries:
        response = api.get("/api/devices", cookie="sessionid=abcdefghijklmnopqrstuvwxyz123456; csrftoken=x")
    assert response.status_code == 200
    assert not [query for query in queries if "session" in query["sql"]]
    assert response["X-Frame-Options"] == "DENY"
    assert "default-src 'self'" in response["Content-Security-Policy"]
    assert api.get("/admin/login/").cookies
