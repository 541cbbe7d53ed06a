"""The response envelope, languages and CORS."""

import re
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cexup.logs import LineFormatter
from devices.api.views import devices
from devices.tests.support.client import Api, errors
from devices.tests.support.factories import device_payload
from devices.values.errors import status_name


def test_unknown_route_returns_404_in_the_envelope(api: Api) -> None:
    for path in ("/api/nope", "/api/devices/1", "/api/device/1/x", "/api//devices"):
        response = api.get(path)
        assert response.status_code == 404, path
        assert response["Content-Type"] == "application/json"
        assert response.json()["data"] == []


@pytest.mark.parametrize(
    "path",
    [
        *("/%2Fapi/devices", "/%2F%2Fapi/device/7", "/%2fapi", "/%2Fapi/", "/api//devices", "/api/devices//", "/API"),
        *("/API/devices", "/Api/devices/", "/aPi/device/7", "/api/DEVICES", "/api/../x", "/api/./devices", "/api/%00"),
    ],
)
def test_misspelled_path_returns_404_in_the_envelope_with_cors_headers(api: Api, outsider: Api, path: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        response = api(method, path, origin=ORIGIN)
        assert response.status_code == 404, path
        assert errors(response) == [(None, "endpoint_not_found")]
        assert response["Access-Control-Allow-Origin"] == ORIGIN
        assert "x-api-key" in response["Vary"]
    preflight = outsider("OPTIONS", path, **{"origin": ORIGIN, "access-control-request-method": "POST"})
    assert (preflight.status_code, preflight["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    assert outsider.get(path).json()["data"] == []


@pytest.mark.parametrize("path", ["/apis", "/api.json", "/apidevices", "/v1/api/devices", "/admin/api/", "/x//api/"])
def test_path_outside_the_api_gets_neither_envelope_nor_cors_headers(client: Client, db: None, path: str) -> None:
    response = client.get(path, headers={"origin": ORIGIN})
    assert not response["Content-Type"].startswith("application/json")
    assert "Access-Control-Allow-Origin" not in response


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/api/devices"), ("DELETE", "/api/devices"), ("GET", "/api/device"), ("POST", "/api/device/1")],
)
def test_unsupported_method_returns_405_with_allow(api: Api, method: str, path: str) -> None:
    response = api(method, path)
    assert (response.status_code, response.json()["status"]) == (405, "METHOD_NOT_ALLOWED")
    assert method not in response["Allow"].split(", ")
    assert errors(response) == [(None, "method_not_allowed")]


@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
@pytest.mark.parametrize("path", ["/api/docs", "/api/schema", "/api/guide"])
def test_unsupported_method_of_a_document_returns_the_envelope(api: Api, method: str, path: str) -> None:
    response = api(method, path, **{"accept-language": "id"})
    assert (response.status_code, response["Content-Type"], response["Allow"]) == (405, "application/json", "GET, HEAD")
    message = f"Endpoint ini tidak mendukung {method}. Metode yang didukung: GET, HEAD."
    assert response.json()["message"] == message


def test_log_of_a_failure_has_the_request_id(
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


def test_uncaught_exception_returns_the_envelope_without_a_traceback(
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


def test_exception_in_a_middleware_returns_the_envelope(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any) -> None:
        raise RuntimeError("very secret")

    monkeypatch.setattr("cexup.middleware.patch_vary_headers", fail)
    response = api.get("/api/devices")
    assert (response.status_code, response.json()["code"]) == (500, 500)
    assert b"secret" not in response.content


def test_database_error_returns_503_with_retry_after(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any) -> None:
        raise OperationalError("connection to 10.0.0.1 refused")

    monkeypatch.setattr(devices.DeviceViewSet, "list", fail)
    response = api.get("/api/devices")
    assert (response.status_code, response.json()["status"]) == (503, "SERVICE_UNAVAILABLE")
    assert response["Retry-After"] == "1"
    assert b"10.0.0.1" not in response.content


def test_invalid_host_returns_400_in_the_envelope(api: Api) -> None:
    response = api.get("/api/devices", host="evil.example.org")
    assert (response.status_code, response.json()["status"]) == (400, "BAD_REQUEST")
    assert errors(response) == [(None, "invalid_host")]


def test_404_outside_the_api_is_an_html_page(client: Client) -> None:
    response = client.get("/nope")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "*/*", "nonsense"])
def test_response_is_json_for_each_accept_header(api: Api, accept: str) -> None:
    response = api.get("/api/devices", accept=accept)
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


def test_status_names_do_not_depend_on_the_python_version() -> None:
    assert [status_name(code) for code in (200, 410, 413, 414, 422)] == [
        "OK",
        "GONE",
        "CONTENT_TOO_LARGE",
        "URI_TOO_LONG",
        "UNPROCESSABLE_CONTENT",
    ]


@pytest.mark.parametrize("sent", ["a", "x" * 128, "0af7651916cd-43dd.8448_eb"])
def test_valid_request_id_is_returned(api: Api, sent: str) -> None:
    assert api.get("/api/devices", **{"x-request-id": sent})["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "a b", "a\nb", "é", "<script>"])
@pytest.mark.parametrize("path", ["/api/devices", "/api/nope", "/healthz", "/nope"])
def test_invalid_request_id_is_replaced(api: Api, sent: str, path: str) -> None:
    assert re.fullmatch("[0-9a-f]{32}", api.get(path, **{"x-request-id": sent})["X-Request-ID"])


@pytest.mark.parametrize(
    ("accepted", "message"),
    [
        ("", "Devices returned."),
        ("fr", "Devices returned."),
        ("en", "Devices returned."),
        ("id", "Daftar perangkat dikembalikan."),
        ("id-ID,id;q=0.9,en;q=0.8", "Daftar perangkat dikembalikan."),
        ("en;q=0.9,id;q=0.8", "Devices returned."),
        ("in-ID, en;q=0.5", "Daftar perangkat dikembalikan."),
        ("IN", "Daftar perangkat dikembalikan."),
        ("en-IN", "Devices returned."),
    ],
)
def test_message_is_in_the_accepted_language(api: Api, accepted: str, message: str) -> None:
    assert api.get("/api/devices", **{"accept-language": accepted}).json()["message"] == message


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        *(
            (name, "id")
            for name in (
                "id_ID",
                "in_ID",
                "ID_id",
                "In_Id",
                "ID-id",
                "in",
                "id-Latn-ID",
                "id__",
                "IN_id_X",
                "ind",
                "IND_ID",
            )
        ),
        *((name, "id") for name in ("id_ID.UTF-8", "id_ID@currency=IDR", "in_ID_#Latn", "id.UTF-8", "id_ID;q=0.5")),
        *((name, "en") for name in ("en_US", "en_ID", "en_IN.UTF-8", "jv_ID", "C", "POSIX", "ide", "_id", "x-in", "*")),
        ("fr_FR,in_ID;q=0.8,en_US;q=0.5", "id"),
        ("en_US,in_ID;q=0.8", "en"),
        ("id_ID;q=0.3, en_US;q=0.9", "en"),
        ("id_ID;q=0, en;q=0.1", "en"),
        ("en-US;q=0.4,\tin_ID;q=0.45", "id"),
    ],
)
def test_name_of_a_locale_is_read_as_its_language(api: Api, client: Client, accepted: str, language: str) -> None:
    for path in ("/api/devices", "/admin/login/"):
        response = client.get(path, headers={**api.headers, "accept-language": accepted})
        assert (response.status_code, response["Content-Language"]) == (200, language)


def test_errors_are_in_the_accepted_language(api: Api) -> None:
    body = api.post("/api/devices", device_payload(1, device_mac="x"), **{"accept-language": "id"}).json()
    assert body["errors"][0]["message"].startswith("Ini bukan alamat MAC yang valid.")
    assert api.get("/api/nope", **{"accept-language": "id"}).json()["message"] != api.get("/api/nope").json()["message"]


# --- Browser clients from other origins


ORIGIN = "https://app.example.org"
HEADERS = (
    "x-api-key, content-type, accept, accept-language, if-match, if-none-match, idempotency-key, x-request-id, "
    "access-control-allow-origin"
)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_preflight_succeeds_for_a_configured_origin(outsider: Api, method: str) -> None:
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


def test_other_origins_get_no_cors_headers(api: Api) -> None:
    assert "Access-Control-Allow-Origin" not in api.get("/api/devices", origin="https://evil.example.org")


def test_errors_have_cors_headers_too(outsider: Api) -> None:
    response = outsider.get("/api/devices", origin=ORIGIN)
    assert (response.status_code, response["Access-Control-Allow-Origin"]) == (401, ORIGIN)


def test_api_reads_no_session_and_sends_the_security_headers(api: Api) -> None:
    with CaptureQueriesContext(connection) as queries:
        response = api.get("/api/devices", cookie="sessionid=abcdefghijklmnopqrstuvwxyz123456; csrftoken=x")
    assert response.status_code == 200
    assert not [query for query in queries if "session" in query["sql"]]
    assert response["X-Frame-Options"] == "DENY"
    assert "default-src 'self'" in response["Content-Security-Policy"]
    assert api.get("/admin/login/").cookies
