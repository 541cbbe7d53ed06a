"""Workers are killed, reloaded and upgraded, and PostgreSQL stops: no counter decreases, and each scrape responds."""

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.error import HTTPError

import pytest
from django.db import connection

from cexup import __version__
from cexup.metrics import files
from devices.tests.support.factories import device_payload
from devices.tests.support.metrics import counters, parse, scrape, total
from devices.tests.support.services.cluster import cluster
from devices.tests.support.services.faults import (
    CONNECTION_ERRORS,
    FULL,
    Readers,
    Registry,
    eventually,
    have_ended,
    is_alive,
    new_database,
    times,
)
from devices.tests.support.services.nginx import free_ports
from devices.tests.support.services.server import children

KILLS = times(10, 2)


@contextmanager
def measured(database_url: str, folder: Path, workers: int = 2) -> Iterator[tuple[Registry, int]]:
    """Serve the registry with metrics; yield it and the port of its metrics."""
    registry = Registry(database_url, folder / "log")
    [port] = free_ports(1)
    registry.environment |= {"METRICS_PORT": str(port), "TMPDIR": str(folder), "WEB_CONCURRENCY": str(workers)}
    try:
        registry.start()
        yield registry, port
    finally:
        registry.stop()
        shutil.rmtree(folder / files.folder(port).name)


@pytest.fixture(scope="module", name="served")
def served_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, int]]:
    folder = tmp_path_factory.mktemp("metrics")
    with new_database(folder) as url, measured(url, folder) as running:
        yield running


class Watch:
    """Scrapes all the time, and compares each counter with the scrape before."""

    def __init__(self, port: int) -> None:
        self.port, self.scrapes, self.problems = port, 0, list[str]()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Watch":
        self.before = counters(scrape(self.port))
        self.thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.ended.set()
        self.thread.join(120)
        assert self.problems == []
        assert self.scrapes > 1

    def _run(self) -> None:
        while not self.ended.is_set():
            try:
                now = counters(scrape(self.port))
            except CONNECTION_ERRORS:  # to a worker that was killed
                continue
            self.scrapes += 1
            for series, value in self.before.items():
                if now.get(series, 0) < value:
                    self.problems.append(f"{series}: {value} became {now.get(series)}")
            self.before = now
            time.sleep(0.02)


def counted(port: int) -> float:
    return total(scrape(port), "registry_requests_total", route="api/hospitals", method="GET", status="2xx")


def test_no_counter_decreases_when_workers_are_killed(served: tuple[Registry, int]) -> None:
    registry, port = served
    with Readers(registry, 1) as readers, Watch(port):
        for _ in range(KILLS):
            readers.wait_for(20)
            workers = eventually(lambda: len(found := registry.workers()) == 2 and found)
            os.kill(workers[0], signal.SIGKILL)
            eventually(partial(have_ended, [workers[0]]))
            eventually(lambda: len(registry.workers()) == 2)
        readers.wait_for(20)
    text = eventually(lambda: at_rest(scrape(port)))
    assert total(text, "registry_workers") == 2
    assert total(text, "registry_worker_starts_total") == 2 + KILLS
    assert total(text, "registry_workers_resident_memory_bytes") > 50_000_000
    # A scrape can have the lock of a free slot for a moment, and a new worker then takes a third slot.
    assert len(list(folder_of(registry, port).glob("slot-*"))) < 2 + KILLS, "a new worker did not continue the counts"


def at_rest(text: str) -> str:
    """Return the scrape if both workers have begun and no request is in flight. A worker writes that every second."""
    is_at_rest = total(text, "registry_threads") == 2 * 4 and total(text, "registry_requests_in_flight") == 0
    return text if is_at_rest else ""


def folder_of(registry: Registry, port: int) -> Path:
    return Path(registry.environment["TMPDIR"]) / files.folder(port).name


def test_every_request_is_counted_across_a_reload_and_an_upgrade(served: tuple[Registry, int]) -> None:
    """Each worker counts its last requests when it ends. No other test uses the route."""
    registry, port = served
    assert counted(port) == 0
    first = registry.pid
    with Watch(port), Readers(registry, 1, "/api/hospitals") as readers:
        readers.wait_for(20)
        old = registry.workers()
        os.kill(first, signal.SIGHUP)
        eventually(partial(have_ended, old))
        readers.wait_for(20)
        os.kill(first, signal.SIGUSR2)
        second = eventually(lambda: next((pid for pid in children(first) if len(children(pid)) == 2), None))
        try:
            readers.wait_for(20)
            assert eventually(lambda: total(scrape(port), "registry_workers") == 4)
        finally:
            os.kill(second, signal.SIGTERM)
            eventually(lambda: not is_alive(second), 60)
        readers.wait_for(20)
    assert (readers.failures, readers.refused) == ([], 0)
    eventually(lambda: counted(port) >= readers.succeeded)
    assert counted(port) == readers.succeeded


def test_scrape_has_every_metric_and_nothing_private(served: tuple[Registry, int]) -> None:
    registry, port = served
    registry.send("POST", "/api/devices", [device_payload(1, device_holder="RS Rahasia")])
    registry.send("GET", "/api/devices?search=rahasia")
    text = scrape(port)
    assert total(text, "registry_database_up") == 1
    assert total(text, "registry_devices") >= 0
    assert total(text, "registry_build_info", version=__version__, database=connection.vendor) == 1
    assert "rahasia" not in text.lower()
    assert registry.key.split("_")[1] not in text
    assert len(parse(text)) < 500
    assert re.search("^# HELP registry_feed_lag_seconds .+$", text, re.MULTILINE)
    with pytest.raises(HTTPError, match="404"):
        scrape(port, path="/")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no server")
@pytest.mark.skipif(not FULL, reason="it takes 15 seconds; server/test_metrics.py tests a read that does not end")
def test_scrape_responds_while_all_threads_wait_for_a_stopped_postgresql(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with cluster() as server, measured(server.url, tmp_path, workers=1) as (registry, port):
        server.signal(signal.SIGSTOP)
        clients = [threading.Thread(target=try_to_list, args=(registry,)) for _ in range(12)]
        try:
            for client in clients:
                client.start()
            text = eventually(lambda: total(text := scrape(port), "registry_requests_in_flight") == 4 and text)
            assert total(text, "registry_database_up") == 0
            assert total(text, "registry_threads") == 4
            assert "registry_devices" not in text
        finally:
            server.signal(signal.SIGCONT)
            for client in clients:
                client.join(120)
        eventually(lambda: total(scrape(port), "registry_database_up") == 1)


def try_to_list(registry: Registry) -> None:
    registry.send("GET", "/api/devices?size=1")
