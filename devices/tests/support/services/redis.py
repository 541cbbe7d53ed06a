"""A Redis server, and many concurrent requests."""

import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

REDIS = shutil.which("redis-server")
CLIENTS, REQUESTS, LIMIT = 32, 320, 100

needs_redis = pytest.mark.skipif(REDIS is None, reason="redis-server is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A new Redis process, and its URL."""
    port = free_port()
    options = ["--bind", "127.0.0.1", "--requirepass", "geheim", "--save", "", "--loglevel", "warning"]
    process = subprocess.Popen([str(REDIS), "--port", str(port), "--dir", str(tmp_path), *options])
    try:
        _wait_for(port)
        yield process, f"redis://:geheim@127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait(30)


def _wait_for(port: int) -> None:
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"Redis does not listen on {port}.")


def send_many(port: int, key: str, requests: int = REQUESTS, **headers: str) -> Counter[int]:
    """Send requests from many threads; return the number of responses with each status."""

    def send(times: int) -> list[int]:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        statuses = []
        for _ in range(times):
            connection.request("GET", "/api/devices", headers={"x-api-key": key, **headers})
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
        connection.close()
        return statuses

    with ThreadPoolExecutor(CLIENTS) as clients:
        return Counter(status for statuses in clients.map(send, [requests // CLIENTS] * CLIENTS) for status in statuses)
