"""The clock of the server is set back by an hour while it serves: changes stay in order.

The test does not change the clock of the machine. The server starts with a module that Python loads first, and that
shifts the time by the seconds in a file. The registry takes every time from there.
"""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.tests.support.factories import device_payload
from devices.tests.support.services.faults import Registry, Writers, eventually

HOUR = 3600
_numbers = itertools.count(500_000)

# Python loads `sitecustomize` from PYTHONPATH at its start. time.monotonic is unchanged, as in production.
SITE = """
import pathlib, time
from datetime import UTC, datetime
from django.utils import timezone

real, clock = time.time, pathlib.Path({path!r})


def shifted():
    return real() + float(clock.read_text())


time.time = shifted
timezone.now = lambda: datetime.fromtimestamp(shifted(), UTC)
"""


class Clock:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "seconds"
        self.set_back(0)
        (folder / "sitecustomize.py").write_text(SITE.format(path=str(self.path)))
        self.environment = {"PYTHONPATH": str(folder)}

    def set_back(self, seconds: int) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(str(-seconds))
        new.replace(self.path)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def shifted_registry(registry: Registry, clock: Clock) -> Iterator[Registry]:
    """The server with a shifted clock. Commands use the clock of the machine."""
    environment = dict(registry.environment)
    registry.stop()
    registry.environment |= clock.environment
    registry.start()
    try:
        yield registry
    finally:
        registry.stop()
        registry.environment = environment
        registry.start()


def milliseconds() -> int:
    return int(time.time() * 1000)


def changed_at(registry: Registry, pk: int) -> Any:
    return registry.send("GET", f"/api/device/{pk}").body["data"]["updated_at"]


def test_changes_stay_in_order_when_the_clock_is_set_back(shifted_registry: Registry, clock: Clock) -> None:
    registry = shifted_registry
    [device] = registry.send("POST", "/api/devices", device_payload(1, device_holder="RS Harapan")).body["data"]
    start = registry.send("GET", "/api/devices/changes?since=now").body["pagination"]["next"]
    cursor = start.partition(str(registry.port))[2]
    key = "before"
    assert registry.send("POST", "/api/devices", device_payload(2), idempotency_key=key).status == 201
    used_at = _last_used(registry)
    with Writers(registry) as writers:
        writers.wait_for(5)
        clock.set_back(HOUR)
        eventually(lambda: _server_time(registry) < milliseconds() - HOUR * 1000 / 2)
        writers.wait_for(10)
        path = f"/api/device/{device['id']}"
        before = changed_at(registry, device["id"])
        for turn in range(3):  # each change has a later time than the one before
            data = registry.send("PATCH", path, {"device_name": f"Renamed in the past {turn}"}).body["data"]
            assert data["updated_at"] == before + 1
            assert data["updated_at"] > data["created_at"]
            before = data["updated_at"]
        since = registry.send("GET", f"/api/devices?updated_since={before}").body["data"]
        assert device["id"] in {row["id"] for row in since}
        again = registry.send("POST", "/api/devices", device_payload(2), idempotency_key=key)
        assert (again.status, again.headers["idempotency-replayed"]) == (201, "true")
        assert _last_used(registry) >= used_at  # the last use of a key does not become earlier
        assert registry.is_ready()
    writers.check()
    names = _follow(registry, cursor, device["id"])
    assert names == [f"Renamed in the past {turn}" for turn in range(3)]
    clock.set_back(0)
    eventually(lambda: _server_time(registry) > milliseconds() - HOUR * 1000 / 2)
    data = registry.send("PATCH", path, {"device_name": "Renamed again"}).body["data"]
    assert data["updated_at"] > before


def _server_time(registry: Registry) -> int:
    """Return the time of the server: that of a device that it registers."""
    [device] = registry.send("POST", "/api/devices", device_payload(next(_numbers))).body["data"]
    return int(device["created_at"])


def _follow(registry: Registry, cursor: str, pk: int) -> list[str]:
    """Return the names of the device in the changes after the cursor."""
    names: list[str] = []
    while True:
        page = registry.send("GET", cursor).body
        if not page["data"]:
            return names
        names += [event["device"]["device_name"] for event in page["data"] if event["device"]["id"] == pk]
        cursor = page["pagination"]["next"].partition(str(registry.port))[2]


def _last_used(registry: Registry) -> str:
    code = "from devices.models import ApiKey; print(ApiKey.objects.get(name='tests').last_used_at.isoformat())"
    return registry.manage("shell", "-v0", "-c", code).strip()
