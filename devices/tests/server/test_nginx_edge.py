"""What nginx answers itself with the files of deploy/: to wrong names, to plain HTTP, to too many sign-ins."""

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

from devices.tests.support.nginx import NGINX, Ports, nginx

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

NAME = "registry.example.org"
OWN = {
    "Strict-Transport-Security": "max-age=1",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
    "Vary": "x-api-key, origin",
    "Retry-After": "7",
}
SIGN_INS = [
    "/admin/login/",
    "/admin/set-password/MQ/abc-def/",
    "/admin/password_change/",
    "/admin/two-factor/",
    "/admin/two-factor/set-up/",
]


class Application(BaseHTTPRequestHandler):
    """Answers everything: /own with headers of its own, with the status in the path where there is one."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        _root, *parts = self.path.split("/")
        self.send_response(int(parts[1]) if parts[0] == "own" else 200)
        self.send_header("Content-Length", "0")
        for name, value in OWN.items() if parts[0] == "own" else ():
            self.send_header(name, value)
        self.end_headers()

    do_GET = do_POST = answer  # noqa: N815

    def log_message(self, *_args: Any) -> None:
        pass


class Answer(NamedTuple):
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
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
    return answer


def ask(
    port: int, path: str, method: str = "GET", *, secure: bool = False, address: str = "", **headers: str
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    if secure:
        connection.sock = tls(port)
    elif address:
        connection.source_address = address, 0
    connection.request(method, path, headers={"Host": NAME, **headers})
    response = connection.getresponse()
    answer = Answer(response.status, response.getheaders(), response.read())
    connection.close()
    return answer


# --- Names


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "a" * 7_000])
def test_an_unknown_host_gets_no_answer(ports: Ports, host: str) -> None:
    request = f"GET /api/devices HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    assert send(socket.create_connection(("127.0.0.1", ports.redirecting), timeout=60), request) == b""
    assert send(tls(ports.secure), request) == b""


@pytest.mark.parametrize("name", ["evil.example", None])
def test_an_unknown_name_gets_no_certificate(ports: Ports, name: str | None) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized"):
        tls(ports.secure, name)


# --- Plain HTTP


@pytest.mark.parametrize(
    "path", ["/api/devices", "/api/device/7?page=1", "/api", "/api/", "//api/devices", "/%61pi/devices"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_the_api_rejects_plain_http(ports: Ports, path: str, method: str) -> None:
    answer = ask(ports.redirecting, path, method, **{"x-api-key": "x"})
    assert answer.status == json.loads(answer.body)["code"] == 403
    assert json.loads(answer.body)["errors"][0]["code"] == "https_required"
    assert answer.all("Content-Type") == ["application/json"]
    assert (answer.all("Cache-Control"), answer.all("Vary")) == (["no-store"], ["x-api-key"])
    assert (answer.all("Location"), answer.all("X-Content-Type-Options")) == ([], ["nosniff"])


def test_pages_are_redirected_to_the_registrys_own_name(ports: Ports) -> None:
    for path in ("/", "/admin/login/?next=/admin/", "/admin/set-password/MQ/abc-def/", "/apis"):
        answer = ask(ports.redirecting, path)
        assert (answer.status, answer.all("Location")) == (308, [f"https://{NAME}{path}"])


def test_a_password_link_over_plain_http_is_not_logged(ports: Ports, folder: Path) -> None:
    ask(ports.redirecting, "/admin/set-password/MQ/SECRET-TOKEN/")
    ask(ports.plain, "/admin/set-password/MQ/SECRET-TOKEN/")
    ask(ports.redirecting, "/admin/logged/")
    log = (folder / "access").read_text()
    assert "/admin/logged/" in log
    assert "SECRET-TOKEN" not in log


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
            with suppress(ConnectionError):  # nginx need not read what it refuses
                send(sock, f"{request}\r\nConnection: close\r\n\r\n".encode())
    for port in (ports.plain, ports.redirecting):
        ask(port, "/admin/logged/")


def test_no_password_link_is_logged(ports: Ports, folder: Path) -> None:
    send_links(ports, *REQUESTS_WITH_A_LINK, AS_REFERER)
    assert "/admin/logged/" in logs_of(folder)
    assert "SECRET" not in logs_of(folder)


def test_no_password_link_is_logged_while_the_registry_is_down(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with nginx(tmp_path, nobody.getsockname()[1], log=str(tmp_path / "access")) as ports:
            assert ask(ports.secure, LINK, secure=True).status == 503
            send_links(ports, *REQUESTS_WITH_A_LINK)
    access, errors = ((tmp_path / name).read_text() for name in ("access", "errors"))
    assert access.count("/admin/logged/") == 2
    assert "connect() failed" in errors
    assert "SECRET" not in access + errors


def test_no_password_link_is_logged_if_the_registry_cuts_the_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=cut_connections, args=(server,), daemon=True).start()
        with nginx(tmp_path, server.getsockname()[1], log=str(tmp_path / "access")) as ports:
            assert [ask(ports.plain, path).status for path in (LINK, "/admin/logged/")] == [503, 503]
        server.shutdown(socket.SHUT_RDWR)
    logs = logs_of(tmp_path)
    assert "upstream prematurely closed" in logs
    assert "SECRET" not in logs


def cut_connections(server: socket.socket) -> None:
    with suppress(OSError):  # the test is over
        while True:
            with server.accept()[0] as client:
                client.recv(65536)


def test_an_error_page_of_nginx_gives_no_link_to_the_next_request(ports: Ports, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with nginx(tmp_path, nobody.getsockname()[1]) as down:
            assert ask(down.secure, LINK, secure=True).all("Referrer-Policy") == ["no-referrer"]
    assert ask(ports.secure, "/own/200", secure=True).all("Referrer-Policy") == ["same-origin"]


# --- Headers


def test_what_nginx_answers_itself_has_the_headers(ports: Ports) -> None:
    too_large = {"Content-Length": str(1024**3)}
    for answer, status in (
        (ask(ports.secure, "/api/devices", "POST", secure=True, **too_large), 413),
        (ask(ports.secure, "/admin/", "POST", secure=True, **too_large), 413),
        (ask(ports.secure, "/api/devices?" + "x" * 20_000, secure=True), 414),
        (ask(ports.secure, "/api/devices", secure=True, a="x" * 20_000), 431),
        (ask(ports.secure, "/api/devices", "TRACE", secure=True), 405),
        (ask(ports.secure, "/bare", secure=True), 200),  # of an application that sends none of them
    ):
        assert answer.status == status
        assert status == 200 or json.loads(answer.body)["code"] == status
        assert answer.all("Strict-Transport-Security") == ["max-age=31536000; includeSubDomains; preload"]
        assert answer.all("X-Content-Type-Options") == ["nosniff"]
        assert (answer.all("Cache-Control"), answer.all("Vary")) == (["no-store"], ["x-api-key"])
        assert answer.all("Retry-After") == []


@pytest.mark.parametrize("status", [200, 403, 404, 429, 503])
def test_what_the_application_answers_keeps_its_headers(ports: Ports, status: int) -> None:
    answer = ask(ports.secure, f"/own/{status}", secure=True)
    assert answer.status == status
    assert {name: answer.all(name) for name in OWN} == {name: [value] for name, value in OWN.items()}


def test_a_registry_that_is_down_has_the_headers(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with nginx(tmp_path, nobody.getsockname()[1]) as ports:
            answer = ask(ports.secure, "/api/devices", secure=True)
    assert (answer.status, json.loads(answer.body)["code"], answer.all("Retry-After")) == (503, 503, ["5"])
    assert (answer.all("Cache-Control"), answer.all("Vary")) == (["no-store"], ["x-api-key"])
    assert answer.all("Strict-Transport-Security")


def test_plain_http_has_no_hsts(ports: Ports) -> None:
    assert ask(ports.redirecting, "/").all("Strict-Transport-Security") == []
    assert ask(ports.redirecting, "/api/devices").all("Strict-Transport-Security") == []


def test_nothing_has_the_version_of_nginx(ports: Ports) -> None:
    for answer in (
        ask(ports.redirecting, "/"),
        ask(ports.redirecting, "/api/devices"),
        ask(ports.secure, "/registry-answers/none", secure=True),
        ask(ports.secure, "/bare", secure=True),
    ):
        assert answer.all("Server") == ["nginx"]
        assert b"nginx/" not in answer.body
    for request in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        for sock in (socket.create_connection(("127.0.0.1", ports.redirecting), timeout=60), tls(ports.secure)):
            assert b"nginx/" not in send(sock, request)


# --- Sign-ins


@pytest.mark.parametrize(("number", "path"), list(enumerate([*SIGN_INS, "//admin//login/", "/admin/%6cogin/"])))
def test_sign_ins_of_an_address_are_limited_and_no_others(ports: Ports, number: int, path: str) -> None:
    address = f"127.0.3.{number + 1}"
    answers = [ask(ports.plain, path, "POST", address=address) for _ in range(200)]
    assert {answer.status for answer in answers[:30]} == {200}
    assert answers[-1].status == 429
    assert json.loads(answers[-1].body)["errors"][0]["code"] == "too_many_concurrent_requests"
    assert answers[-1].all("Retry-After") == ["5"]
    assert ask(ports.plain, path, "GET", address=address).status == 200
    assert ask(ports.plain, "/api/devices", "POST", address=address).status == 200
    assert ask(ports.plain, path, "POST", address="127.0.4.1").status == 200


def test_requests_that_check_no_password_are_not_limited(ports: Ports) -> None:
    for path, method in (("/admin/login/", "GET"), ("/api/devices", "POST"), ("/admin/devices/device/", "POST")):
        statuses = {ask(ports.plain, path, method, address="127.0.5.1").status for _ in range(100)}
        assert statuses == {200}
