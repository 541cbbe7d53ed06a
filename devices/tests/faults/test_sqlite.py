"""Somebody else holds the lock of SQLite's file for longer than a writer waits."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from devices.tests.support.faults import Registry, Writers, eventually, watched

pytestmark = pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite has one lock for all")

HELD = 10.0  # seconds; a writer waits for 5


def test_a_lock_that_is_held_for_ten_seconds_stops_no_reader_and_no_writer_for_good(registry: Registry) -> None:
    path = registry.environment["DATABASE_URL"].removeprefix("sqlite:///")
    registry.ask("GET", "/api/devices")  # the key's use is noted
    with Writers(registry) as writers, watched(registry) as probes, ThreadPoolExecutor(1) as pool:
        writers.wait_for(5)
        somebody = sqlite3.connect(path, isolation_level=None, timeout=60)
        somebody.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        posted = pool.submit(registry.ask, "PATCH", "/api/device/1", {"device_name": "Refused"})
        while time.monotonic() < begun + HELD:
            assert registry.ask("GET", "/api/devices?size=5").status == 200
            time.sleep(0.2)
        before = len(writers.acknowledged)
        answer = posted.result(60)
        somebody.execute("ROLLBACK")
        somebody.close()
        ended = time.monotonic()
        eventually(lambda: len(writers.acknowledged) > before + 5)
    writers.check()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert writers.seen["503"]
    assert {(probe, status) for at, probe, status in probes if begun < at < ended} == {
        ("/healthz", 200),
        ("/readyz", 200),  # it answers, and is read
    }
