"""Rate limits on the real server: 2 worker processes, 32 clients, and a shared store."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from devices.tests.support.services.postgres import throwaway_postgres
from devices.tests.support.services.redis import LIMIT, REQUESTS, free_port, needs_redis, send_many
from devices.tests.support.services.server import ROOT, served_from, serving


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a migrated database for this module only."""
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
    """Return the environment of a server with two workers, after a wait if the hour is about to end."""
    # Windows have an hour, so that none ends during a test. A test that starts just before the full hour waits for it.
    time.sleep(max(0.0, time.time() % 3600 - 3480) and 3600 - time.time() % 3600)
    # If the store cannot count in time, requests are allowed. The long timeout prevents this on a busy machine.
    return {**served_from(url), "WEB_CONCURRENCY": "2", "DATABASE_LOCK_TIMEOUT": "300", **more}


def test_two_workers_with_the_database_allow_exactly_the_limit(database: str) -> None:
    environment = served_by_two(database, API_FAILED_RATE=f"{LIMIT}/h")
    key = manage(environment, "create_api_key", "app", "--rate", f"{LIMIT}/h")
    with serving(environment) as port:
        assert send_many(port, key) == {200: LIMIT, 429: REQUESTS - LIMIT}
        assert send_many(port, "MTYzNTEzMDIzNDY0MA==1635130") == {401: LIMIT, 429: REQUESTS - LIMIT}


@needs_redis
def test_two_servers_with_redis_allow_exactly_the_limit(
    database: str, redis_server: tuple[subprocess.Popen[bytes], str]
) -> None:
    environment = served_by_two(database, REDIS_URL=redis_server[1])
    key = manage(environment, "create_api_key", "app", "--rate", f"{LIMIT}/h")
    other = {**environment, "PORT": str(free_port())}  # another machine with the same Redis
    with serving(environment) as port, serving(other) as another_port, ThreadPoolExecutor(2) as both:
        statuses = both.map(send_many, [port, another_port], [key, key])
        assert sum(statuses, Counter()) == {200: LIMIT, 429: 2 * REQUESTS - LIMIT}


@needs_redis
def test_database_counts_and_no_request_fails_if_redis_dies(
    database: str, redis_server: tuple[subprocess.Popen[bytes], str]
) -> None:
    process, url = redis_server
    environment = served_by_two(database, REDIS_URL=url)
    key = manage(environment, "create_api_key", "app", "--rate", "2000/h")
    limited = manage(environment, "create_api_key", "limited", "--rate", f"{LIMIT}/h")
    with serving(environment) as port, ThreadPoolExecutor(1) as client:
        requests = client.submit(send_many, port, key, 960)
        time.sleep(0.5)
        process.kill()
        process.wait(30)
        assert requests.result() == {200: 960}
        assert send_many(port, limited) == {200: LIMIT, 429: REQUESTS - LIMIT}
