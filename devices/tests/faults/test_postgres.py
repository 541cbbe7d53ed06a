"""PostgreSQL is killed, crashes, cannot be reached or is read-only while clients write.

No acknowledged write is lost, and the registry recovers by itself.
"""

import contextlib
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from devices.tests.support.factories import device_payload
from devices.tests.support.services.cluster import Cluster, cluster
from devices.tests.support.services.faults import Registry, Response, Writers, eventually, is_retryable, served, times
from devices.tests.support.services.partition import Proxy

pytestmark = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no server")

STATEMENT_SECONDS = 3
OPTIONS = f"?options=-c%20statement_timeout%3D{STATEMENT_SECONDS}s&connect_timeout=3"
OTHERS = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
RECOVERY = 5.0  # seconds until the registry works again after PostgreSQL does
UNREACHABLE = 10.0  # seconds: tcp_user_timeout in the settings
BUSY = 3  # factor for a busy machine


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with cluster() as server:
        yield server


@pytest.fixture(scope="module")
def registry(server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with served(server.url + OPTIONS, tmp_path_factory.mktemp("faults")) as registry:
        yield registry


@pytest.fixture(scope="module")
def impatient(server: Cluster, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry whose statements end after a second, and after three if PostgreSQL does not respond."""
    limits = {"DATABASE_STATEMENT_TIMEOUT": "1", "DATABASE_CONNECT_TIMEOUT": "2"}
    with served(server.url, tmp_path_factory.mktemp("impatient"), registry.key, **limits) as impatient:
        yield impatient


def test_registry_recovers_from_a_killed_postgresql(server: Cluster, registry: Registry) -> None:
    master, workers, waited = registry.pid, set(registry.workers()), []
    with Writers(registry) as writers:
        for _ in range(times(10, 1)):
            writers.wait_for(5)
            server.kill()
            eventually(lambda: not registry.is_ready())
            assert registry.send("GET", "/healthz").status == 200
            server.start()
            accepting = time.monotonic()
            eventually(partial(has_written_since, writers, accepting))
            waited.append(time.monotonic() - accepting)
            assert registry.is_ready()
    writers.check()
    assert max(waited) < RECOVERY * BUSY, waited
    assert (registry.pid, set(registry.workers())) == (master, workers)  # no process was restarted
    assert "503" in writers.seen
    print(f"recovered after {max(waited):.2f} s at most")  # noqa: T201


def test_registry_recovers_from_a_killed_backend(server: Cluster, registry: Registry) -> None:
    with Writers(registry) as writers:
        for _ in range(times(10, 1)):
            writers.wait_for(5)
            [[backend]] = eventually(lambda: server.run(f"SELECT pid {OTHERS} LIMIT 1"))
            os.kill(int(str(backend)), signal.SIGKILL)
            time.sleep(0.5)
            eventually(server.accepts)
            writers.wait_for(5)
    writers.check()


def test_connections_that_an_administrator_terminates_are_replaced(server: Cluster, registry: Registry) -> None:
    with Writers(registry) as writers:
        for _ in range(times(20, 3)):
            writers.wait_for(3)
            server.run(f"SELECT pg_terminate_backend(pid) {OTHERS}")
    writers.check()


@pytest.fixture
def proxy(server: Cluster) -> Iterator[Proxy]:
    proxy = Proxy(server.folder)
    yield proxy
    proxy.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has socket filters")
def test_network_partition_returns_503_until_it_ends(
    server: Cluster, registry: Registry, proxy: Proxy, tmp_path: Path
) -> None:
    url = f"postgres://registry@127.0.0.1:{proxy.port}/postgres?connect_timeout=3"
    with served(url, tmp_path, registry.key) as remote:
        with Writers(remote) as writers:
            writers.wait_for(5)
            proxy.block()
            begun = time.monotonic()
            response = remote.send("GET", "/api/devices", timeout=60)
            took = time.monotonic() - begun
            assert (response.status, response.headers["retry-after"]) == (503, "1")
            eventually(lambda: remote.send("GET", "/readyz", timeout=60).status == 503)
            proxy.unblock()
            writers.wait_for(5)
            eventually(remote.is_ready)
        writers.check()
    assert took < UNREACHABLE * BUSY
    print(f"503 after {took:.1f} s")  # noqa: T201


def test_lock_wait_is_bounded_by_statement_timeout(server: Cluster, registry: Registry) -> None:
    with Writers(registry) as writers, psycopg.connect(server.url) as other:
        writers.wait_for(3)
        other.execute("LOCK TABLE devices_device IN SHARE MODE")
        eventually(lambda: writers.seen["503"] >= 2)
        assert registry.send("GET", "/api/devices").status == 200
        assert registry.is_ready()
        other.rollback()
        writers.wait_for(3)
    writers.check()


def has_written_since(writers: Writers, time_: float) -> bool:
    return writers.acknowledged[-1] > time_


def settled(writers: Writers) -> int:
    """Return the number of acknowledged requests if it did not grow for a second, else 0."""
    before = len(writers.acknowledged)
    time.sleep(1)
    return before if len(writers.acknowledged) == before else 0


def test_read_only_database_is_read_and_accepts_writes_again(server: Cluster, registry: Registry) -> None:
    """As after a failover: the connections are to a standby, which is promoted later."""
    with Writers(registry) as writers:
        writers.wait_for(5)
        for _ in range(times(5, 1)):
            server.run("ALTER SYSTEM SET default_transaction_read_only = on")
            server.run("SELECT pg_reload_conf()")
            eventually(lambda: writers.seen["503"] >= 3)
            before = eventually(lambda: settled(writers))
            responses = [registry.send("GET", "/api/devices?size=5") for _ in range(10)]
            assert {response.status for response in responses} == {200}
            assert registry.is_ready()  # reads work
            assert len(writers.acknowledged) == before
            with contextlib.closing(psycopg.connect(server.url, autocommit=True)) as other:
                other.execute("SET default_transaction_read_only = off")
                other.execute("ALTER SYSTEM RESET default_transaction_read_only")
                other.execute("SELECT pg_reload_conf()")
            writers.seen.clear()
            writers.wait_for(5)
    writers.check()


class Request(threading.Thread):
    """A request that is sent in another thread."""

    def __init__(self, registry: Registry, method: str, path: str, body: object = None, **headers: str) -> None:
        super().__init__()
        self.registry, self.sent = registry, (method, path, body)
        self.headers: Any = headers
        self.response: Response | None = None
        self.start()

    def run(self) -> None:
        self.response = self.registry.send(*self.sent, **self.headers)

    def end(self) -> Response:
        self.join(60)
        assert self.response, "there was no response"
        return self.response


@pytest.fixture
def standby_is_lost(server: Cluster) -> Iterator[None]:
    """Let commits wait for a standby that does not exist."""
    set_standby(server, "missing")
    yield
    set_standby(server, "")


def set_standby(server: Cluster, name: str) -> None:
    server.run(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    server.run("SELECT pg_reload_conf()")
    eventually(lambda: server.run("SHOW synchronous_standby_names") == [(name,)])
    server.run("CHECKPOINT")  # the checkpointer first applies the setting: until then, commits ignore it


def waiting_commits(server: Cluster, seconds: float = 0) -> list[int]:
    """Return the processes that have waited for the standby for this number of seconds."""
    old = f"now() - state_change > interval '{seconds} s'"
    return [int(str(pid)) for [pid] in server.run(f"SELECT pid {OTHERS} AND wait_event = 'SyncRep' AND {old}")]


def post(registry: Registry, number: int, key: str) -> Request:
    return Request(registry, "POST", "/api/devices", device_payload(number), idempotency_key=key)


def cancel(server: Cluster, backend: int) -> None:
    server.run(f"SELECT pg_cancel_backend({backend})")


def restart(server: Cluster, _backend: int) -> None:
    server.kill()
    server.start()


@pytest.mark.usefixtures("standby_is_lost")
@pytest.mark.parametrize(("fault", "number"), [(cancel, 880_000), (restart, 880_001)])
def test_write_is_not_acknowledged_before_the_standby_has_it(
    server: Cluster, impatient: Registry, fault: Callable[[Cluster, int], None], number: int
) -> None:
    key = uuid.uuid4().hex
    first = post(impatient, number, key)
    [backend] = eventually(lambda: waiting_commits(server, 1.5))  # statement_timeout is over
    assert first.response is None
    assert post(impatient, number, key).end().status == 409
    assert not is_listed(impatient, number)
    fault(server, backend)
    assert is_retryable(first.end())
    eventually(lambda: is_listed(impatient, number))  # PostgreSQL has committed it here
    second = post(impatient, number, key)
    eventually(lambda: waiting_commits(server))  # the stored response is not sent before the standby has it
    assert second.response is None
    set_standby(server, "")
    replayed = second.end()
    assert (replayed.status, replayed.headers["idempotency-replayed"]) == (201, "true")


@pytest.mark.usefixtures("standby_is_lost")
def test_write_that_waits_too_long_for_the_standby_returns_503(server: Cluster, impatient: Registry) -> None:
    key = uuid.uuid4().hex
    assert is_retryable(post(impatient, 880_002, key).end())
    assert len(waiting_commits(server)) == 1
    assert post(impatient, 880_002, key).end().status == 409
    set_standby(server, "")
    eventually(lambda: not waiting_commits(server))
    replayed = post(impatient, 880_002, key).end()
    assert (replayed.status, replayed.headers["idempotency-replayed"]) == (201, "true")


def test_reads_do_not_wait_for_the_standby(server: Cluster, impatient: Registry) -> None:
    """A read writes when its key was last used, and leases permits of its rate. A failover may lose both."""
    leases = "SELECT count(*) FROM devices_ratelimitcounter WHERE ends_at - began_at = 86400"
    [[before]] = server.run(leases)
    server.run("UPDATE devices_apikey SET last_used_at = NULL, rate = '100000/d'")
    set_standby(server, "missing")
    assert impatient.send("GET", "/api/devices").status == 200
    assert waiting_commits(server) == []
    set_standby(server, "")
    assert server.run("SELECT count(*) FROM devices_apikey WHERE last_used_at IS NULL") == [(0,)]
    assert server.run(leases) == [(int(str(before)) + 1,)]


def test_change_without_a_difference_waits_for_the_standby_too(server: Cluster, impatient: Registry) -> None:
    [device] = post(impatient, 880_003, uuid.uuid4().hex).end().body["data"]
    set_standby(server, "missing")
    same = Request(impatient, "PATCH", f"/api/device/{device['id']}", {"device_name": device["device_name"]})
    eventually(lambda: waiting_commits(server))
    assert same.response is None
    set_standby(server, "")
    assert same.end().status == 200


def is_listed(registry: Registry, number: int) -> bool:
    response = registry.send("GET", f"/api/devices?search=Cuff%20{number}")
    assert response.status == 200, response
    return bool(response.body["data"])


def test_frozen_postgresql_returns_503_until_it_continues(server: Cluster, impatient: Registry) -> None:
    with Writers(impatient) as writers:
        writers.wait_for(5)
        server.signal(signal.SIGSTOP)
        try:
            requests = [Request(impatient, "GET", "/api/devices") for _ in range(12)]
            assert all(is_retryable(request.end()) for request in requests)
            assert impatient.send("GET", "/healthz").status == 200
            assert impatient.send("GET", "/readyz").status == 503
        finally:
            server.signal(signal.SIGCONT)
        writers.wait_for(5)
        eventually(impatient.is_ready)
    writers.check()
