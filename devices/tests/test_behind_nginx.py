"""The registry behind nginx with the configuration of deploy/: slow, large and many clients stop nobody else."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.tests.conftest import ROOT, draft

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

CONFIGURATION = """
daemon off; pid {folder}/pid; error_log {folder}/errors; worker_processes 1; worker_rlimit_nofile 4096;
events {{ worker_connections 3000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies; proxy_temp_path {folder}/answers;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port};
        set $registry 127.0.0.1:{upstream};
        include {locations};
    }}
}}
"""


def nginx(folder: Path, upstream: int) -> tuple[subprocess.Popen[bytes], int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    folder.chmod(0o755)
    for parent in list(folder.parents)[:2]:  # nginx's worker is another user, and keeps bodies here
        parent.chmod(0o755)
    text = CONFIGURATION.format(
        folder=folder, port=port, upstream=upstream, locations=ROOT / "deploy" / "registry.locations"
    )
    (folder / "nginx.conf").write_text(text)
    process = subprocess.Popen([str(NGINX), "-e", folder / "errors", "-p", folder, "-c", folder / "nginx.conf"])
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, port
        time.sleep(0.05)
    raise AssertionError((folder / "errors").read_text())


@pytest.fixture(scope="module")
def proxy(server: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an nginx before the server."""
    process, port = nginx(tmp_path_factory.mktemp("nginx"), server)
    yield port
    process.terminate()
    process.wait(10)


def ask(port: int, method: str, path: str, key: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    data = None if body is None else json.dumps(body)
    connection.request(method, path, data, {"x-api-key": key, "Content-Type": "application/json", **headers})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def begin(port: int, key: str, length: int, body: bytes = b"") -> socket.socket:
    """Begin a POST of so many bytes, and send only these of them."""
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(
        b"POST /api/devices HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        + f"x-api-key: {key}\r\nContent-Length: {length}\r\n\r\n".encode()
        + body
    )
    return client


def test_the_registry_answers_through_it(proxy: int, server_key: str) -> None:
    status, answer = ask(proxy, "POST", "/api/devices", server_key, [draft(7_001), draft(7_002)])
    assert (status, answer["data"][0]["device_name"]) == (201, "Cuff 7001")
    status, answer = ask(proxy, "GET", "/api/devices?size=1", server_key, Host="localhost:8123")
    assert answer["pagination"]["next"].startswith("http://localhost:8123/api/devices?")


def test_clients_that_send_a_byte_at_a_time_stop_nobody(proxy: int, server_key: str) -> None:
    slow = [begin(proxy, server_key, 1000, b"[") for _ in range(200)]
    for turn in range(10):
        for client in slow:
            client.send(b" ")
        assert ask(proxy, "GET", "/api/devices", server_key)[0] == 200
        assert ask(proxy, "POST", "/api/devices", server_key, draft(7_100 + turn))[0] == 201
    for client in slow:
        client.close()


def test_connections_that_say_nothing_stop_nobody(proxy: int, server_key: str) -> None:
    idle = [socket.create_connection(("127.0.0.1", proxy)) for _ in range(800)]
    assert ask(proxy, "GET", "/api/devices", server_key)[0] == 200
    for client in idle:
        client.close()


def test_a_body_of_a_gigabyte_is_refused_before_it_is_sent(proxy: int, server_key: str) -> None:
    with begin(proxy, server_key, 1024**3) as client:
        answer = client.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 413 ")
    assert json.loads(answer.partition("\r\n\r\n")[2])["errors"][0]["code"] == "too_large"
    assert ask(proxy, "GET", "/api/devices", server_key)[0] == 200


def test_a_registry_that_is_down_is_told_in_the_envelope(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        process, port = nginx(tmp_path, nobody.getsockname()[1])
        try:
            status, answer = ask(port, "GET", "/api/devices", "x")
        finally:
            process.terminate()
            process.wait(10)
    assert (status, answer["status"], answer["errors"][0]["code"]) == (503, "SERVICE_UNAVAILABLE", "unavailable")
