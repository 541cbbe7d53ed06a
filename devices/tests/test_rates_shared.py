"""The rates of requests on the real server: 2 worker processes, 32 clients, and a counter that all share."""

import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from devices.tests.conftest import ROOT, served_from, serving
from devices.tests.postgres import throwaway_postgres

REDIS = shutil.which("redis-server")
CLIENTS, REQUESTS, LIMIT = 32, 320, 100
needs_redis = pytest.mark.skipif(REDIS is None, reason="redis-server is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A Redis of its own, and its URL."""
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
    raise AssertionError(f"Nobody listens on {port}.")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a database that is migrated, and of no other test."""
    if request.param == "sqlite":
        yield migrated(f"sqlite:///{tmp_path_factory.mktemp('rates') / 'registry.sqlite3'}")
    else:
        with throwaway_postgres() as url:
            yield migrated(url)


def migrated(url: str) -> str:
    manage(served_from(url), "migrate", "-v0")
    return url


def manage(environment: dict[str, str], *arguments: str) -> str:
    run = [sys.executable, "manage.py", *arguments]
    return subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def served_by_two(url: str, **more: str) -> dict[str, str]:
    # An hour, so that no window ends within a test; one that begins just before the hour does waits for it.
    time.sleep(max(0.0, time.time() % 3600 - 3480) and 3600 - time.time() % 3600)
    # Where nobody gets to count in time requests are admitted, so on a machine that is busy there is much time.
    return {**served_from(url), "WEB_CONCURRENCY": "2", "DATABASE_LOCK_TIMEOUT": "300", **more}


def ask_many(port: int, key: str, requests: int = REQUESTS, **headers: str) -> Counter[int]:
    """Ask from many threads at once; return how often each status was answered."""

    def ask(times: int) -> list[int]:
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
        return Counter(status for told in clients.map(ask, [requests // CLIENTS] * CLIENTS) for status in told)


def test_of_a_limit_of_100_requests_and_100_failed_keys_exactly_100_pass_counted_by_the_database(database: str) -> None:
    environment = served_by_two(database, API_FAILED_RATE=f"{LIMIT}/h")
    key = manage(environment, "create_api_key", "app", "--rate", f"{LIMIT}/h")
    with serving(environment) as port:
        assert ask_many(port, key) == {200: LIMIT, 429: REQUESTS - LIMIT}
        assert ask_many(port, "MTYzNTEzMDIzNDY0MA==1635130") == {401: LIMIT, 429: REQUESTS - LIMIT}


@needs_redis
def test_of_a_limit_of_100_exactly_100_are_admitted_counted_by_redis(
    database: str, redis_server: tuple[subprocess.Popen[bytes], str]
) -> None:
    environment = served_by_two(database, REDIS_URL=redis_server[1])
    key = manage(environment, "create_api_key", "app", "--rate", f"{LIMIT}/h")
    other = {**environment, "PORT": str(free_port())}  # another machine with the same Redis
    with serving(environment) as port, serving(other) as another_port, ThreadPoolExecutor(2) as both:
        told = both.map(ask_many, [port, another_port], [key, key])
        assert sum(told, Counter()) == {200: LIMIT, 429: 2 * REQUESTS - LIMIT}


@needs_redis
def test_a_redis_that_dies_fails_no_request_and_the_database_counts_on(
    database: str, redis_server: tuple[subprocess.Popen[bytes], str]
) -> None:
    process, url = redis_server
    environment = served_by_two(database, REDIS_URL=url)
    key = manage(environment, "create_api_key", "app", "--rate", "2000/h")
    limited = manage(environment, "create_api_key", "limited", "--rate", f"{LIMIT}/h")
    with serving(environment) as port, ThreadPoolExecutor(1) as client:
        while_it_dies = client.submit(ask_many, port, key, 960)
        time.sleep(0.5)
        process.kill()
        process.wait(30)
        assert while_it_dies.result() == {200: 960}
        assert ask_many(port, limited) == {200: LIMIT, 429: REQUESTS - LIMIT}
