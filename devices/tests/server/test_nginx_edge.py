"""Responses of nginx itself with the files of deploy/: to unknown names, plain HTTP and too many sign-ins."""

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from devices.tests.support.services.faults import eventually
from devices.tests.support.services.nginx import NGINX, Ports, nginx

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

NAME = "registry.example.org"
UPSTREAM_HEADERS = {
    "Strict-Transport-Security": "max-age=1",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
    "Vary": "x-api-key, origin",
    "Retry-After": "7",
    "X-Request-ID": "a1b2",
}
SIGN_INS = [
    "/admin/login/",
    "/admin/set-password/MQ/abc-def/",
    "/admin/password_change/",
    "/admin/two-factor/",
    "/admin/two-factor/set-up/",
]


class Application(BaseHTTPRequestHandler):
    """Responds to every request with 200, and to /own/STATUS with that status and UPSTREAM_HEADERS."""

    protocol_version = "HTTP/1.1"

    def respond(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        _root, *parts = self.path.split("/")
        self.send_response(int(parts[1]) if parts[0] == "own" else 200)
        self.send_header("Content-Length", "0")
        for name, value in UPSTREAM_HEADERS.items() if parts[0] == "own" else ():
            self.send_header(name, value)
        self.end_headers()

    do_GET = do_POST = respond  # noqa: N815

    def log_message(self, *_args: Any) -> None:
        pass


class Response(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each.lower() == name.lower()]


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Application)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("edge")


@pytest.fixture(scope="module")
def ports(upstream: int, folder: Path) -> Iterator[Ports]:
    with nginx(folder, upstream, log=str(folder / "access")) as ports:
        yield ports


def tls(port: int, name: str | None = NAME) -> socket.socket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=60), server_hostname=name)


def send(sock: socket.socket, request: bytes) -> bytes:
    with sock:
        sock.sendall(request)
        response = b""
        while chunk := sock.recv(65536):
            response += chunk
    return response


def get(
    port: int, path: str, method: str = "GET", *, secure: bool = False, address: str = "", **headers: str
) -> Response:
    source = (address, 0) if address else None
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=source)
    if secure:
        connection.sock = tls(port)
    connection.request(
        method, path, headers={"Host": NAME, **{name.replace("_", "-"): value for name, value in headers.items()}}
    )
    response = connection.getresponse()
    received = Response(response.status, response.getheaders(), response.read())
    connection.close()
    return received


# --- Names


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "a" * 7_000])
def test_unknown_host_gets_no_response(ports: Ports, host: str) -> None:
    request = f"GET /api/devices HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    assert send(socket.create_connection(("127.0.0.1", ports.redirecting), timeout=60), request) == b""
    assert send(tls(ports.secure), request) == b""


@pytest.mark.parametrize("name", ["evil.example", None])
def test_unknown_server_name_gets_no_certificate(ports: Ports, name: str | None) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized"):
        tls(ports.secure, name)


# --- Plain HTTP


@pytest.mark.parametrize(
    "path",
    [
        "/api/devices",
        "/api/device/7?page=1",
        "/api",
        "/api/",
        "//api/devices",
        "/%61pi/devices",
        "/API/devices",
        "/Api",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_api_rejects_plain_http(ports: Ports, path: str, method: str) -> None:
    response = get(ports.redirecting, path, method, x_api_key="x")
    assert response.status == json.loads(response.body)["code"] == 403
    assert json.loads(response.body)["errors"][0]["code"] == "https_required"
    assert response.all("Content-Type") == ["application/json"]
    assert (response.all("Cache-Control"), response.all("Vary")) == (["no-store"], ["x-api-key"])
    assert (response.all("Location"), response.all("X-Content-Type-Options")) == ([], ["nosniff"])


def test_pages_are_redirected_to_https_with_the_configured_name(ports: Ports) -> None:
    for path in ("/", "/admin/login/?next=/admin/", "/admin/set-password/MQ/abc-def/", "/apis"):
        response = get(ports.redirecting, path)
        assert (response.status, response.all("Location")) == (308, [f"https://{NAME}{path}"])


def test_password_link_over_plain_http_is_not_logged(ports: Ports, folder: Path) -> None:
    get(ports.redirecting, "/admin/set-password/MQ/SECRET-TOKEN/")
    get(ports.plain, "/admin/set-password/MQ/SECRET-TOKEN/")
    get(ports.redirecting, "/admin/logged/last/")
    eventually(lambda: "/admin/logged/last/" in logs_of(folder))  # nginx logs a request after its response
    assert "SECRET-TOKEN" not in logs_of(folder)


def logs_of(folder: Path) -> str:
    return (folder / "access").read_text() + (folder / "errors").read_text()


LINK = "/admin/set-password/MQ/SECRET-TOKEN/"
REQUESTS_WITH_A_LINK = [
    f"GET {LINK} HTTP/1.1\r\nHost: {NAME}",
    f"POST {LINK} HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 0",
    f"GET /{LINK} HTTP/1.1\r\nHost: {NAME}",
    f"GET {LINK.replace('-', '%2d')} HTTP/1.1\r\nHost: {NAME}",
    f"GET {LINK.replace('-', '%2D')}?x HTTP/1.1\r\nHost: {NAME}",
    f"TRACE {LINK} HTTP/1.1\r\nHost: {NAME}",
    f"GET {LINK} HTTP/1.1\r\nHost: evil.example",
    f"GET {LINK} HTTP/1.1",
    f"GET {LINK} HTTP/7.5\r\nHost: {NAME}",
    f"GET {LINK}{'x' * 20_000} HTTP/1.1\r\nHost: {NAME}",
    f"GET {LINK} HTTP/1.1\r\nHost: {NAME}\r\nx: {'x' * 20_000}",
    f"POST {LINK} HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: {1024**3}",
]


AS_REFERER = f"GET /bare HTTP/1.1\r\nHost: {NAME}\r\nReferer: https://{NAME}{LINK}"


def send_links(ports: Ports, *requests: str) -> None:
    """Send each request to all three servers, and then one that is logged."""
    for request in requests:
        for sock in (
            socket.create_connection(("127.0.0.1", ports.redirecting), timeout=60),
            socket.create_connection(("127.0.0.1", ports.plain), timeout=60),
            tls(ports.secure),
        ):
            with suppress(ConnectionError):  # nginx closes the connection of a rejected request
                send(sock, f"{request}\r\nConnection: close\r\n\r\n".encode())
    for port in (ports.plain, ports.redirecting):
        get(port, "/admin/logged/")


def test_password_links_are_not_logged(ports: Ports, folder: Path) -> None:
    before = logs_of(folder).count("/admin/logged/")
    send_links(ports, *REQUESTS_WITH_A_LINK, AS_REFERER)
    eventually(lambda: logs_of(folder).count("/admin/logged/") == before + 2)
    assert "SECRET" not in logs_of(folder)


def test_password_links_are_not_logged_while_the_registry_is_down(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with nginx(tmp_path, unused.getsockname()[1], log=str(tmp_path / "access")) as ports:
            assert get(ports.secure, LINK, secure=True).status == 503
            send_links(ports, *REQUESTS_WITH_A_LINK)
    access, errors = ((tmp_path / name).read_text() for name in ("access", "errors"))
    assert access.count("/admin/logged/") == 2
    assert "connect() failed" in errors
    assert "SECRET" not in access + errors


def test_password_links_are_not_logged_if_the_registry_closes_the_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=close_connections, args=(server,), daemon=True).start()
        with nginx(tmp_path, server.getsockname()[1], log=str(tmp_path / "access")) as ports:
            assert [get(ports.plain, path).status for path in (LINK, "/admin/logged/")] == [503, 503]
        server.shutdown(socket.SHUT_RDWR)
    logs = logs_of(tmp_path)
    assert "upstream prematurely closed" in logs
    assert "SECRET" not in logs


def close_connections(server: socket.socket) -> None:
    with suppress(OSError):  # the test has ended
        while True:
            with server.accept()[0] as client:
                client.recv(65536)


def test_error_pages_of_nginx_send_no_referrer(ports: Ports, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with nginx(tmp_path, unused.getsockname()[1]) as down:
            assert get(down.secure, LINK, secure=True).all("Referrer-Policy") == ["no-referrer"]
    assert get(ports.secure, "/own/200", secure=True).all("Referrer-Policy") == ["same-origin"]


# --- Headers


def test_responses_of_nginx_have_the_headers(ports: Ports) -> None:
    too_large = str(1024**3)
    for response, status in (
        (get(ports.secure, "/api/devices", "POST", secure=True, content_length=too_large), 413),
        (get(ports.secure, "/admin/", "POST", secure=True, content_length=too_large), 413),
        (get(ports.secure, "/api/devices?" + "x" * 20_000, secure=True), 414),
        (get(ports.secure, "/api/devices", secure=True, a="x" * 20_000), 431),
        (get(ports.secure, "/api/devices", "TRACE", secure=True), 405),
        (get(ports.secure, "/bare", secure=True), 200),  # the application sends none of these headers
    ):
        assert response.status == status
        assert status == 200 or json.loads(response.body)["code"] == status
        assert response.all("Strict-Transport-Security") == ["max-age=31536000; includeSubDomains; preload"]
        assert response.all("X-Content-Type-Options") == ["nosniff"]
        assert (response.all("Cache-Control"), response.all("Vary")) == (["no-store"], ["x-api-key"])
        assert response.all("Retry-After") == []
        assert response.all("Access-Control-Allow-Origin") == ["*"]


@pytest.mark.parametrize("status", [200, 403, 404, 429, 503])
def test_nginx_keeps_the_headers_of_the_application(ports: Ports, status: int) -> None:
    response = get(ports.secure, f"/own/{status}", secure=True)
    assert response.status == status
    assert {name: response.all(name) for name in UPSTREAM_HEADERS} == {
        name: [value] for name, value in UPSTREAM_HEADERS.items()
    }


def test_responses_have_the_headers_while_the_registry_is_down(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with nginx(tmp_path, unused.getsockname()[1]) as ports:
            response = get(ports.secure, "/api/devices", secure=True)
    assert (response.status, json.loads(response.body)["code"], response.all("Retry-After")) == (503, 503, ["5"])
    assert (response.all("Cache-Control"), response.all("Vary")) == (["no-store"], ["x-api-key"])
    assert response.all("Strict-Transport-Security")
    assert response.all("Access-Control-Allow-Origin") == ["*"]
    assert response.all("Access-Control-Expose-Headers") == ["retry-after"]


@pytest.mark.parametrize("origin", ["https://app.example.org", "https://evil.example"])
def test_nginx_leaves_the_cors_headers_to_the_application(ports: Ports, origin: str) -> None:
    response = get(ports.secure, "/own/403", secure=True, origin=origin)
    assert (response.status, response.all("Access-Control-Allow-Origin")) == (403, [])


def test_plain_http_has_no_hsts(ports: Ports) -> None:
    assert get(ports.redirecting, "/").all("Strict-Transport-Security") == []
    assert get(ports.redirecting, "/api/devices").all("Strict-Transport-Security") == []


def test_responses_hide_the_version_of_nginx(ports: Ports) -> None:
    for response in (
        get(ports.redirecting, "/"),
        get(ports.redirecting, "/api/devices"),
        get(ports.secure, "/registry-answers/none", secure=True),
        get(ports.secure, "/bare", secure=True),
    ):
        assert response.all("Server") == ["nginx"]
        assert b"nginx/" not in response.body
    for request in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        for sock in (socket.create_connection(("127.0.0.1", ports.redirecting), timeout=60), tls(ports.secure)):
            assert b"nginx/" not in send(sock, request)


# --- Sign-ins


@pytest.mark.parametrize(("number", "path"), list(enumerate([*SIGN_INS, "//admin//login/", "/admin/%6cogin/"])))
def test_sign_ins_of_an_ip_address_are_limited(ports: Ports, number: int, path: str) -> None:
    address = f"127.0.3.{number + 1}"
    responses = [get(ports.plain, path, "POST", address=address) for _ in range(200)]
    assert {response.status for response in responses[:30]} == {200}
    assert responses[-1].status == 429
    assert json.loads(responses[-1].body)["errors"][0]["code"] == "too_many_concurrent_requests"
    assert responses[-1].all("Retry-After") == ["5"]
    assert get(ports.plain, path, "GET", address=address).status == 200
    assert get(ports.plain, "/api/devices", "POST", address=address).status == 200
    assert get(ports.plain, path, "POST", address="127.0.4.1").status == 200


def test_requests_that_check_no_password_are_not_limited(ports: Ports) -> None:
    for path, method in (("/admin/login/", "GET"), ("/api/devices", "POST"), ("/admin/devices/device/", "POST")):
        statuses = {get(ports.plain, path, method, address="127.0.5.1").status for _ in range(100)}
        assert statuses == {200}
