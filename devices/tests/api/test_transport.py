"""Caching and HTTPS: shared caches store no API response, and plain HTTP is rejected."""

import json
import socket
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from devices.tests.support.admin.routes import PUBLIC, walk
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.factories import device_payload, register

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
ROUTES = sorted({route for route in walk() if route.startswith("api")})
# The test client reads the first part of //api as a host, so the second slash is encoded.
MISSPELLED = ["/api", "/%2Fapi/devices", "/API/devices", "/Api/device/7", "/aPI", "/%2F%2Fapi//devices/"]
PREFLIGHT = {"origin": "https://app.example.org", "access-control-request-method": "GET"}


def path_of(route: str, device: int = 1) -> str:
    return "/" + route.replace("<int:id_device>", str(device))


def assert_not_shared(response: Any) -> None:
    varies = {name.strip().lower() for name in response.headers.get("Vary", "").split(",")}
    assert "x-api-key" in varies
    assert response.headers["Cache-Control"] == ("private, no-cache" if "ETag" in response.headers else "no-store")


def fail(*_args: Any, **_values: Any) -> Any:
    raise RuntimeError


def fail_database(*_args: Any, **_values: Any) -> Any:
    raise OperationalError


# --- Caches


def test_each_route_is_checked() -> None:
    assert {"api", "api/devices", "api/devices/changes", "api/device/<int:id_device>"} <= set(ROUTES)
    assert {route for route in PUBLIC if route.startswith("api")} <= set(ROUTES)


@pytest.mark.parametrize("route", ROUTES)
def test_no_response_of_a_route_is_cacheable_by_shared_caches(api: Api, reader: Api, outsider: Api, route: str) -> None:
    [device] = register(device_payload(1))
    statuses = set()
    for method in METHODS:
        for client in (outsider, reader, api):
            for path in (
                path_of(route, device.pk),
                path_of(route, 4711) + "/",
                path_of(route, device.pk) + "?nonsense=1",
            ):
                response = client(method, path, device_payload(1) if method in ("POST", "PUT") else None)
                assert_not_shared(response)
                statuses.add(response.status_code)
    assert route in PUBLIC or 401 in statuses


def test_only_the_client_can_cache_a_list_or_a_device(api: Api) -> None:
    [device] = register(device_payload(1))
    for path in ("/api/devices", f"/api/device/{device.pk}"):
        response = api.get(path)
        assert response["Cache-Control"] == "private, no-cache"
        unchanged = api.get(path, **{"if-none-match": response["ETag"]})
        assert unchanged.status_code == 304
        assert_not_shared(unchanged)


def test_schema_documents_the_cache_headers_of_each_status(api: Api) -> None:
    for methods in api.get("/api/schema").json()["paths"].values():
        for operation in methods.values():
            for response in operation["responses"].values():
                assert response["headers"]["Cache-Control"]["required"]
                assert response["headers"]["Vary"]["required"]


def test_no_response_of_middleware_is_cacheable_by_shared_caches(api: Api) -> None:
    for response, status in (
        (api.get("/api/devices", host="evil.example"), 400),
        (api("OPTIONS", "/api/devices", **PREFLIGHT), 200),
        (api.post("/api/devices", b" " * (8 * 1024 * 1024 + 1)), 413),
        (api.get("/api/nowhere"), 404),
    ):
        assert response.status_code == status
        assert_not_shared(response)


def test_no_response_to_a_failure_is_cacheable_by_shared_caches(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.registry.register", fail)
    failed = api.post("/api/devices", device_payload(1))
    monkeypatch.setattr("devices.api.authentication.find_active_key", fail_database)
    unavailable = api.get("/api/devices")
    monkeypatch.setattr("cexup.middleware.language_of", fail)
    in_middleware = api.get("/api/devices")
    assert [each.status_code for each in (failed, unavailable, in_middleware)] == [500, 503, 500]
    for response in (failed, unavailable, in_middleware):
        assert_not_shared(response)


def test_no_429_is_cacheable_by_shared_caches(db: None) -> None:
    limited = Api(issue("slow", rate="1/h").text)
    limited.get("/api/devices")
    response = limited.get("/api/devices")
    assert response.status_code == 429
    assert_not_shared(response)


def test_other_pages_have_their_own_cache_headers(client: Client, db: None) -> None:
    assert "x-api-key" not in client.get("/admin/login/").headers["Vary"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /api/" + b"x" * 5_000 + b" HTTP/1.1\r\nHost: localhost\r\n", 414),
        (b"GET /api/devices HTTP/1.1\r\nHost: localhost\r\nx-api-key: " + b"x" * 9_000 + b"\r\n", 431),
        (b"nonsense\r\n", 400),
    ],
)
def test_no_response_of_gunicorn_is_cacheable_by_shared_caches(server: int, request_: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", server), timeout=60) as client:
        client.sendall(request_ + b"\r\n")
        response = b""
        while chunk := client.recv(65536):
            response += chunk
    head, _, body = response.decode().partition("\r\n\r\n")
    assert json.loads(body)["code"] == status
    assert {"Cache-Control: no-store", "Vary: x-api-key", "X-Content-Type-Options: nosniff"} <= set(head.split("\r\n"))


# --- Plain HTTP


@pytest.fixture
def _https(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True


@pytest.mark.usefixtures("_https")
@pytest.mark.parametrize("route", ROUTES)
def test_plain_http_is_rejected_with_and_without_a_key(api: Api, route: str) -> None:
    for client in (Api(None), Api("wrong"), Api(api.headers["x-api-key"])):
        for method in METHODS:
            response = client(method, path_of(route))
            assert response.status_code == 403
            assert "Location" not in response
            assert_not_shared(response)
            if method != "HEAD":
                assert response.json()["status"] == "FORBIDDEN"
                assert errors(response) == [(None, "https_required")]


@pytest.mark.usefixtures("_https")
def test_plain_http_changes_nothing_and_https_works(api: Api) -> None:
    assert api.post("/api/devices", device_payload(1)).status_code == 403
    response = api.client.get("/api/devices", headers=api.headers, secure=True)
    assert (response.status_code, response.json()["data"]) == (200, [])
    assert "max-age" not in api.get("/api/devices").headers.get("Strict-Transport-Security", "")


@pytest.mark.usefixtures("_https")
def test_a_preflight_over_plain_http_is_rejected_before_a_key_is_sent(db: None) -> None:
    response = Api(None)("OPTIONS", "/api/devices", **PREFLIGHT)
    assert response.status_code == 403
    assert "Access-Control-Allow-Origin" not in response


@pytest.mark.usefixtures("_https")
def test_the_rejection_of_plain_http_is_translated(db: None) -> None:
    for language in ("id", "in-ID"):
        response = Api(None).get("/api/devices", **{"accept-language": language})
        assert response.json()["message"] == "HTTP biasa tidak diterima. Kirim permintaan melalui HTTPS."
    assert Api(None).get("/api/devices").json()["message"].startswith("Plain HTTP is not accepted.")


@pytest.mark.usefixtures("_https")
def test_other_pages_are_redirected_to_https_and_health_checks_are_not(client: Client, db: None) -> None:
    for path in ("/", "/admin/login/", "/apis/"):
        for method in ("get", "head", "post", "put", "patch", "delete", "options"):
            response = getattr(client, method)(path)
            assert response.status_code == 308, "after a 301, a client sends a GET in place of a POST"
            assert response["Location"] == f"https://testserver{path}"
    assert client.get("/healthz").status_code == 200


@pytest.mark.usefixtures("_https")
@pytest.mark.parametrize("path", MISSPELLED)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_misspelled_api_path_over_plain_http_is_rejected_and_not_redirected(
    outsider: Api, path: str, method: str
) -> None:
    response = outsider(method, path)
    assert (response.status_code, errors(response)) == (403, [(None, "https_required")])
    assert "Location" not in response


@pytest.mark.usefixtures("_https")
def test_forwarded_proto_decides_behind_a_proxy(api: Api, settings: Any) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert api.get("/api/devices", **{"x-forwarded-proto": "https"}).status_code == 200
    assert api.get("/api/devices", **{"x-forwarded-proto": "http"}).status_code == 403
