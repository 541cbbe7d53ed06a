"""The registry behind nginx with the configuration of deploy/: slow and large clients do not block others."""

import http.client
import json
import resource
import socket
import statistics
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from devices.tests.conftest import workers
from devices.tests.support.factories import device_payload
from devices.tests.support.services.nginx import NGINX, nginx

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

CONNECTIONS, ADDRESSES = 10_000, 11  # an IP address can have 1000 concurrent requests


@pytest.fixture(scope="module")
def proxy(server: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an nginx in front of the server."""
    with nginx(tmp_path_factory.mktemp("nginx"), server) as ports:
        yield ports.plain


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Raise the limit of open files of this process to the maximum."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def send(port: int, method: str, path: str, key: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    data = None if body is None else json.dumps(body)
    connection.request(method, path, data, {"x-api-key": key, "Content-Type": "application/json", **headers})
    response = connection.getresponse()
    envelope = json.loads(response.read())
    connection.close()
    return response.status, envelope


def begin(port: int, key: str, length: int, body: bytes = b"", address: str = "127.0.0.1") -> socket.socket:
    """Begin a POST with this Content-Length, and send only the beginning of its body."""
    client = socket.create_connection(("127.0.0.1", port), source_address=(address, 0))
    client.sendall(
        b"POST /api/devices HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        + f"x-api-key: {key}\r\nContent-Length: {length}\r\n\r\n".encode()
        + body
    )
    return client


def test_nginx_passes_requests_to_the_registry(proxy: int, server_key: str) -> None:
    status, envelope = send(proxy, "POST", "/api/devices", server_key, [device_payload(7_001), device_payload(7_002)])
    assert (status, envelope["data"][0]["device_name"]) == (201, "Cuff 7001")
    status, envelope = send(proxy, "GET", "/api/devices?size=1", server_key, Host="localhost:8123")
    assert envelope["pagination"]["next"].startswith("http://localhost:8123/api/devices?")


def response_times(port: int, key: str, number: int) -> list[float]:
    """Send requests as another client; return the seconds until each response."""
    took = []
    for turn in range(number):
        begun = time.monotonic()
        posted = send(port, "POST", "/api/devices?dry_run=true", key, device_payload(7_100)) if turn % 5 == 0 else None
        assert (posted or send(port, "GET", "/api/devices", key))[0] == (201 if posted else 200)
        took.append(time.monotonic() - begun)
    return took


def assert_not_blocked(took: list[float]) -> None:
    """The limits are wide, because other tests use the machine too. docs/reliability.md has the measured p99."""
    assert statistics.median(took) < 3
    assert max(took) < 30


def workers_memory(port: int) -> int:
    """Return the memory of the workers in MB."""
    rollups = [Path(f"/proc/{worker}/smaps_rollup").read_text() for worker in workers(port)]
    return (
        sum(int(line.split()[1]) for text in rollups for line in text.splitlines() if line.startswith("Pss:")) // 1024
    )


def test_slow_clients_do_not_block_others(proxy: int, server_key: str) -> None:
    slow = [begin(proxy, server_key, 1000, b"[") for _ in range(200)]
    took = []
    for _ in range(10):
        for client in slow:
            client.send(b" ")
        took += response_times(proxy, server_key, 5)
    assert_not_blocked(took)
    assert all(_is_open(client) for client in slow)
    for client in slow:
        client.close()


def test_idle_connections_do_not_block_others(proxy: int, server_key: str) -> None:
    idle = [socket.create_connection(("127.0.0.1", proxy)) for _ in range(800)]
    assert_not_blocked(response_times(proxy, server_key, 20))
    for client in idle:
        client.close()


@pytest.mark.usefixtures("many_descriptors")
def test_ten_thousand_unfinished_bodies_do_not_block_others(proxy: int, server: int, server_key: str) -> None:
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    number = min(CONNECTIONS, descriptors - 1000)
    if number < CONNECTIONS:
        warnings.warn(f"only {number} connections: the limit of open files is {descriptors}", stacklevel=1)
    before = workers_memory(server)
    many = [begin(proxy, server_key, 1000, b"[", f"127.0.1.{n % ADDRESSES + 1}") for n in range(number)]
    try:
        took = response_times(proxy, server_key, 50)
        for client in many:
            client.send(b" ")
        took += response_times(proxy, server_key, 50)
        assert sum(_is_open(client) for client in many) > number * 0.95  # some may have reached a timeout
        assert_not_blocked(took)
        assert workers_memory(server) < before + 50
    finally:
        for client in many:
            client.close()


def _is_open(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        client.recv(1, socket.MSG_PEEK)  # the connection was closed, or a response closes it
        return False
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    finally:
        client.setblocking(True)


def test_concurrent_requests_of_an_ip_address_are_limited(proxy: int, server_key: str) -> None:
    greedy = [begin(proxy, server_key, 1000, b"[", "127.0.2.1") for _ in range(1005)]
    greedy[-1].settimeout(60)
    response = greedy[-1].recv(65536).decode()
    assert response.startswith("HTTP/1.1 429 ")
    assert "\r\nRetry-After: 5\r\n" in response
    assert json.loads(response.partition("\r\n\r\n")[2])["errors"][0]["code"] == "too_many_concurrent_requests"
    assert_not_blocked(response_times(proxy, server_key, 5))
    for client in greedy:
        client.close()


def test_body_of_a_gigabyte_is_rejected_before_it_is_sent(proxy: int, server_key: str) -> None:
    with begin(proxy, server_key, 1024**3) as client:
        response = client.recv(65536).decode()
    assert response.startswith("HTTP/1.1 413 ")
    assert json.loads(response.partition("\r\n\r\n")[2])["errors"][0]["code"] == "too_large"
    assert send(proxy, "GET", "/api/devices", server_key)[0] == 200


def test_body_of_a_gigabyte_neither_blocks_others_nor_uses_memory(proxy: int, server: int, server_key: str) -> None:
    before = workers_memory(server)
    head = f"POST /api/devices HTTP/1.1\r\nHost: localhost\r\nx-api-key: {server_key}\r\nTransfer-Encoding: chunked"
    piece = b"100000\r\n" + b" " * 2**20 + b"\r\n"
    with socket.create_connection(("127.0.0.1", proxy), timeout=60) as client:
        client.sendall(head.encode() + b"\r\n\r\n")
        sent = 0
        with suppress(ConnectionError):
            while sent < 1024 and _is_open(client):
                client.sendall(piece)
                sent += 1
        assert 8 < sent < 100, client.recv(65536)
    assert_not_blocked(response_times(proxy, server_key, 5))
    assert workers_memory(server) < before + 50


def test_requests_above_max_conns_get_503_at_once(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,  # accepts requests, and never responds
        nginx(tmp_path, silent.getsockname()[1], places="max_conns=2") as ports,
    ):
        port = ports.plain
        waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        for client in waiting:
            client.sendall(b"GET /api/devices HTTP/1.1\r\nHost: localhost\r\n\r\n")
        taken = [silent.accept()[0] for _ in waiting]
        assert len(taken) == 2
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/api/devices")
        response = connection.getresponse()
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
        assert json.loads(response.read())["errors"][0]["code"] == "unavailable"
        for client in (*waiting, *taken):
            client.close()
        connection.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /api/devices?search=" + b"x" * 5_000 + b" HTTP/1.1\r\nHost: localhost\r\n", 414),
        (b"GET /api/devices?search=" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n", 414),
        (b"GET /api/devices HTTP/1.1\r\nHost: localhost\r\nx-api-key: " + b"x" * 20_000 + b"\r\n", 431),
        (b"GET /api/devices HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * 150, 431),
        (b"GET /api/devices HTTP/1.1\r\n", 400),
        (b"nonsense\r\n", 400),
        (b"POST /api/devices HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n", 400),
    ],
)
def test_nginx_returns_the_envelope_for_malformed_requests(proxy: int, request_: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", proxy), timeout=60) as client:
        client.sendall(request_ + b"Connection: close\r\n\r\n")
        response = b""
        while chunk := client.recv(65536):
            response += chunk
    head, _, body = response.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == json.loads(body)["code"] == status
    assert b"application/json" in head


def test_nginx_returns_the_envelope_while_the_registry_is_down(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with nginx(tmp_path, unused.getsockname()[1]) as ports:
            status, envelope = send(ports.plain, "GET", "/api/devices", "x")
    assert (status, envelope["status"], envelope["errors"][0]["code"]) == (503, "SERVICE_UNAVAILABLE", "unavailable")
