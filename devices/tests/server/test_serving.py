"""Health checks, settings, system checks, the first start, and requests that only the server sees."""

import contextlib
import http.client
import json
import os
import re
import secrets
import socket
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core import checks
from django.db import OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client

from cexup import __version__
from cexup.worker import EnvelopeWorker
from devices.checks import database_is_supported
from devices.tests.support.client import errors
from devices.tests.support.factories import device_payload
from manage import write_first_env

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.django_db
def test_health_checks_need_no_key(client: Client) -> None:
    health = client.get("/healthz").json()
    assert (health["message"], health["data"]) == ("The process is running.", {"version": __version__})
    assert client.get("/readyz").json()["message"] == "The database responds."
    for path in ("/healthz/", "/readyz/"):
        assert client.get(path).status_code == 200
    strict = Client(enforce_csrf_checks=True)
    assert strict.post("/healthz").status_code == strict.post("/readyz").status_code == 405


def test_process_without_a_database_is_up_but_not_ready(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any) -> None:
        raise OperationalError("the connection was closed")

    monkeypatch.setattr(BaseDatabaseWrapper, "cursor", fail)
    assert client.get("/healthz").status_code == 200
    response = client.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (503, "SERVICE_UNAVAILABLE")
    assert errors(response) == [(None, "unavailable")]
    assert response["Retry-After"] == "1"
    assert b"was closed" not in response.content


@pytest.mark.django_db
def test_database_without_tables_is_not_ready(client: Client) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE devices_changefeed RENAME TO gone")
        assert client.get("/readyz").status_code == 503
        transaction.set_rollback(True)


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "SECRET_KEY": "x" * 50}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={k: v for k, v in {**clean, **environment}.items() if v != "-"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SECRET_KEY", "-"),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "change-me-before-use-9f3Kq7Lw2Zt8Vb5Nx1Rc6Hd4Jm0Ps"),
        ("SECRET_KEY_FALLBACKS", "short"),
        ("SECRET_KEY_FALLBACKS", "x" * 50 + ","),
        ("SECRET_KEY_FALLBACKS", "x" * 50 + ",change-me-before-use-9f3Kq7Lw2Zt8Vb5Nx1Rc6Hd4Jm0Ps"),
        ("PORT", "http"),
        ("DEBUG", "maybe"),
        ("API_FIRST_PAGE", "2"),
        ("TRUSTED_PROXIES", "-1"),
        ("TRUSTED_PROXIES", "many"),
        ("HTTPS", "perhaps"),
        ("LOG_LEVEL", "LOUD"),
        ("DEVICES_ALLOW_NON_MAC", "2"),
    ],
)
def test_malformed_setting_prevents_the_start(variable: str, value: str) -> None:
    result = manage("check", **{variable: value})
    assert result.returncode != 0
    assert variable in result.stderr
    assert "Traceback" not in result.stderr


def test_debug_is_off_and_https_on_unless_set() -> None:
    code = "from django.conf import settings as s; print(s.DEBUG, s.SESSION_COOKIE_SECURE, s.SECURE_SSL_REDIRECT)"
    assert manage("shell", "-v0", "-c", code).stdout.split() == ["False", "True", "True"]


def test_production_settings_pass_the_deployment_checks() -> None:
    key = secrets.token_urlsafe(50)
    result = manage("check", "--deploy", "--fail-level", "WARNING", ENV_FILE=".env.example", SECRET_KEY=key)
    assert result.returncode == 0, result.stderr


def test_all_settings_are_in_the_example_and_in_the_manual() -> None:
    read = set(re.findall(r'env\.\w+\(\s*"(\w+)"', (ROOT / "cexup/settings.py").read_text()))
    read |= set(re.findall(r"""env\.\w+\(["'](\w+)""", (ROOT / "gunicorn.conf.py").read_text()))
    example = set(re.findall(r"^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert read == example
    manual = (ROOT / "docs/operations/configure.md").read_text()
    assert {name for name in read if f"`{name}`" not in manual} == set()


def test_first_env_file_is_private_and_written_once(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    write_first_env(path)
    first = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(re.search(r"^SECRET_KEY=(\S+)$", first, re.MULTILINE)[1]) >= 50  # type: ignore[index]
    write_first_env(path)
    assert path.read_text() == first


class UnsupportedDatabase:
    vendor = "sqlite"
    pg_version = 140011

    class Database:
        sqlite_version_info = (3, 34, 1)


@pytest.mark.parametrize(
    ("vendor", "id_", "hint"),
    [
        ("sqlite", "devices.E001", "Use a Python that was built with SQLite 3.35 or later."),
        ("postgresql", "devices.E002", "Use PostgreSQL 15 or later."),
        ("mysql", "devices.E003", "DATABASE_URL must begin with sqlite:// or postgres://."),
    ],
)
def test_check_reports_an_unsupported_database(
    vendor: str, id_: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UnsupportedDatabase, "vendor", vendor)
    monkeypatch.setattr("devices.checks.connections", {"default": UnsupportedDatabase()})
    [error] = database_is_supported(databases=["default"])
    assert (error.id, error.hint) == (id_, hint)


@pytest.mark.django_db
def test_database_of_the_tests_is_supported() -> None:
    assert checks.run_checks(databases=["default"], tags=[checks.Tags.database]) == []


# --- Malformed and unusual requests


def exchange(port: int, request: bytes, half_close: bool = False) -> tuple[int, dict[str, str], Any]:
    """Send the bytes; return the status, the headers and the JSON of the response."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        response = b""
        while chunk := connection.recv(65536):
            response += chunk
    head, _, body = response.partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.lower().split(": ", 1) for line in headers), json.loads(body)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /api/devices HTTP/1.1\r\nHost: localhost\r\nx-api-key: " + b"x" * 100_000 + b"\r\n\r\n", 431),
        (b"GET /api/devices HTTP/1.1\r\nHost: localhost\r\nx-api-key: a\nb\r\n\r\n", 400),
        (b"GET /api/devices?" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /api/devices HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
    ],
)
def test_malformed_request_gets_the_envelope(server: int, request_: bytes, status: int) -> None:
    code, headers, body = exchange(server, request_)
    assert (code, body["code"]) == (status, status)
    assert headers["content-type"] == "application/json"
    assert re.fullmatch("[0-9a-f]{32}", headers["x-request-id"])
    assert body["errors"]
    assert headers["access-control-allow-origin"] == "*", "a browser must be able to read the response"
    assert headers["access-control-expose-headers"] == "x-request-id"


@pytest.mark.parametrize("path", ["//api/devices", "/API/devices", "/%2Fapi/devices"])
def test_misspelled_api_path_gets_the_envelope(server: int, path: str) -> None:
    headers = "Host: localhost\r\nOrigin: https://app.example.org\r\nConnection: close"
    code, found, body = exchange(server, f"GET {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode())
    assert (code, body["errors"][0]["code"]) == (404, "endpoint_not_found")
    assert found["access-control-allow-origin"] == "https://app.example.org"


@pytest.mark.parametrize("host", ["10.1.2.3:8000", "evil.example", "[fe80::1]", "a b", ""])
def test_health_checks_return_200_for_every_host(server: int, host: str) -> None:
    """A kubelet or a load balancer sends the address of the server as Host."""
    expected = {"/healthz": 200, "/healthz/": 200, "/readyz": 200, "/readyz/": 200, "/api/devices": 400}
    for path, status in expected.items():
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server, timeout=20)) as connection:
            connection.request("GET", path, headers={"Host": host})
            assert connection.getresponse().status == status, path


@pytest.mark.parametrize("charset", ["base64", "hex", "zip", "idna", "punycode", "utf-16", "iso-8859-1"])
@pytest.mark.parametrize("path", ["/api/devices?device_name=caf%C3%A9", "/api/nothing?a=%C3%A9"])
def test_charset_of_a_request_without_a_body_is_ignored(server: int, server_key: str, path: str, charset: str) -> None:
    headers = f"Host: localhost\r\nContent-Type: application/json; charset={charset}\r\nConnection: close"
    for key, status in ((server_key, 404 if "nothing" in path else 200), ("none", 401)):
        request = f"GET {path} HTTP/1.1\r\n{headers}\r\nx-api-key: {key}\r\n\r\n"
        code, found, body = exchange(server, request.encode())
        assert (code, body["code"]) == (status, status)
        assert found["x-request-id"]


def test_error_outside_of_django_gets_the_envelope(settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = []
    logged: list[str] = []
    sent: list[bytes] = []
    worker: Any = EnvelopeWorker.__new__(EnvelopeWorker)
    worker.log = SimpleNamespace(error=lambda message, **_more: logged.append(message))
    worker.handle_error(None, SimpleNamespace(sendall=sent.append), None, LookupError("secret"))
    head, _, body = sent[0].decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 500 ")
    assert json.loads(body)["errors"][0]["code"] == "internal_error"
    assert "secret" not in body
    assert "access-control-allow-origin" not in head.lower()
    assert logged == ["The request failed outside of Django."]


def test_responses_without_a_body_keep_the_connection(server: int, server_key: str) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server, timeout=20)) as connection:
        connection.connect()
        local_address = connection.sock.getsockname()

        def send(method: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
            connection.request(method, "/api/devices", headers={"x-api-key": server_key, **headers})
            response = connection.getresponse()
            return response, response.read()

        whole, body = send("GET")
        head, nothing = send("HEAD")
        assert (head.status, head.headers["Content-Length"], nothing) == (200, str(len(body)), b"")
        unchanged, nothing = send("GET", **{"If-None-Match": whole.headers["ETag"]})
        assert (unchanged.status, nothing) == (304, b"")
        assert send("GET")[1] == body
        assert connection.sock.getsockname() == local_address


def test_key_that_is_not_ascii_is_invalid(server: int) -> None:
    headers = "Host: localhost\r\nx-api-key: kunci-é-测试-kunci-kunci\r\nConnection: close"
    code, _headers, body = exchange(server, f"GET /api/devices HTTP/1.1\r\n{headers}\r\n\r\n".encode())
    assert (code, body["status"]) == (401, "UNAUTHORIZED")


def test_chunked_body_is_read_completely(server: int, server_key: str) -> None:
    device = json.dumps(device_payload(1)).encode()
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in device) + b"0\r\n\r\n"
    code, _headers, envelope = exchange(server, post(server_key, "Transfer-Encoding: chunked") + body)
    assert (code, envelope["data"][0]["device_name"]) == (201, "Cuff 1")


def test_truncated_body_is_rejected(server: int, server_key: str) -> None:
    device = json.dumps(device_payload(2)).encode()
    code, _headers, envelope = exchange(server, post(server_key, "Content-Length: 1000") + device, half_close=True)
    assert (code, envelope["message"]) == (400, "The body is shorter than its Content-Length. Retry the request.")


def test_too_large_body_gets_413_after_it_was_sent(server: int, server_key: str) -> None:
    length = 30 * 2**20
    code, _headers, envelope = exchange(server, post(server_key, f"Content-Length: {length}") + b" " * length)
    assert (code, envelope["status"]) == (413, "CONTENT_TOO_LARGE")
    chunk = b"%x\r\n" % (9 * 2**20) + b" " * (9 * 2**20) + b"\r\n0\r\n\r\n"
    assert exchange(server, post(server_key, "Transfer-Encoding: chunked") + chunk)[0] == 413


def post(key: str, length: str) -> bytes:
    headers = ["Host: localhost", f"x-api-key: {key}", "Content-Type: application/json", length, "Connection: close"]
    return "\r\n".join(["POST /api/devices HTTP/1.1", *headers, "", ""]).encode()


def test_chunked_body_without_a_key_gets_401(server: int) -> None:
    headers = b"Host: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close"
    request = b"POST /api/devices HTTP/1.1\r\n" + headers + b"\r\n\r\n2\r\n[]\r\n0\r\n\r\n"
    assert exchange(server, request)[0] == 401


def test_script_name_header_is_ignored(server: int, server_key: str) -> None:
    """gunicorn trusts a proxy on the same machine, but a client may have sent the header through it."""
    headers = f"Host: localhost\r\nx-api-key: {server_key}\r\nSCRIPT_NAME: /api\r\nConnection: close"
    code, _headers, body = exchange(server, f"GET /api/api/devices HTTP/1.1\r\n{headers}\r\n\r\n".encode())
    assert (code, body["status"]) == (404, "NOT_FOUND")
