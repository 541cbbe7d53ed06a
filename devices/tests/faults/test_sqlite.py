"""Another process holds the write lock of SQLite for longer than a writer waits."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from devices.tests.support.services.faults import Registry, Writers, eventually, probing

pytestmark = pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite has one lock for all writers")

HELD = 10.0  # seconds; a writer waits for 5


def test_lock_of_ten_seconds_blocks_no_reader_and_delays_writers_only(registry: Registry) -> None:
    path = registry.environment["DATABASE_URL"].removeprefix("sqlite:///")
    registry.send("GET", "/api/devices")  # the use of the key is recorded
    with Writers(registry) as writers, probing(registry) as probes, ThreadPoolExecutor(1) as pool:
        writers.wait_for(5)
        other = sqlite3.connect(path, isolation_level=None, timeout=60)
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        posted = pool.submit(registry.send, "PATCH", "/api/device/1", {"device_name": "Rejected"})
        while time.monotonic() < begun + HELD:
            assert registry.send("GET", "/api/devices?size=5").status == 200
            time.sleep(0.2)
        before = len(writers.acknowledged)
        response = posted.result(60)
        other.execute("ROLLBACK")
        other.close()
        ended = time.monotonic()
        eventually(lambda: len(writers.acknowledged) > before + 5)
    writers.check()
    assert (response.status, response.headers["retry-after"]) == (503, "1")
    assert writers.seen["503"]
    assert {(path, status) for at, path, status in probes if begun < at < ended} == {
        ("/healthz", 200),
        ("/readyz", 200),  # reads work
    }
