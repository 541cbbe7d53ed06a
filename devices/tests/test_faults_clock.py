"""The server's clock is set back by an hour while it serves: what was in order stays in order.

Debian's libfaketime tells the server another time than everybody else has, and another one while it runs.
"""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.tests.conftest import draft
from devices.tests.faults import Registry, Writers, database_of_its_own, eventually, served

LIBRARIES = [*Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), *Path("/usr/lib").glob("faketime/*MT.so.1")]
pytestmark = pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed")
HOUR = 3600
_numbers = itertools.count(500_000)


class Clock:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.set_back(0)

    def set_back(self, seconds: int) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(f"-{seconds}" if seconds else "+0")
        new.replace(self.path)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self.path),
            "FAKETIME_CACHE_DURATION": "1",  # seconds after which it looks again
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",  # by the times of files gunicorn sees whether a worker lives
        }


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path / "clock")


@pytest.fixture
def registry(tmp_path: Path, clock: Clock) -> Iterator[Registry]:
    with database_of_its_own(tmp_path) as url, served(url, tmp_path) as registry:
        registry.stop()
        registry.environment |= clock.environment  # the server's clock only: commands have the machine's
        registry.process = None
        registry.start()
        yield registry


def milliseconds() -> int:
    return int(time.time() * 1000)


def changed_at(registry: Registry, pk: int) -> Any:
    return registry.ask("GET", f"/api/device/{pk}").body["data"]["updated_at"]


def test_an_hour_that_comes_twice_breaks_no_order(registry: Registry, clock: Clock) -> None:
    [device] = registry.ask("POST", "/api/devices", draft(1, device_holder="RS Harapan")).body["data"]
    start = registry.ask("GET", "/api/devices/changes?since=now").body["pagination"]["next"]
    cursor = start.partition(str(registry.port))[2]
    key = {"idempotency-key": "before"}
    assert registry.ask("POST", "/api/devices", draft(2), **key).status == 201
    used_at = _last_used(registry)
    with Writers(registry) as writers:
        writers.wait_for(5)
        clock.set_back(HOUR)
        eventually(lambda: _told_time(registry) < milliseconds() - HOUR * 1000 / 2)
        writers.wait_for(10)
        path = f"/api/device/{device['id']}"
        before = changed_at(registry, device["id"])
        for turn in range(3):  # each change is later than the one before
            data = registry.ask("PATCH", path, {"device_name": f"Renamed in the past {turn}"}).body["data"]
            assert data["updated_at"] == before + 1
            assert data["updated_at"] > data["created_at"]
            before = data["updated_at"]
        since = registry.ask("GET", f"/api/devices?updated_since={before}").body["data"]
        assert device["id"] in {row["id"] for row in since}
        again = registry.ask("POST", "/api/devices", draft(2), **key)
        assert (again.status, again.headers["idempotency-replayed"]) == (201, "true")
        assert _last_used(registry) >= used_at  # what is known of a key's use is not taken back
        assert registry.is_ready()
    writers.check()
    names = _follow(registry, cursor, device["id"])
    assert names == [f"Renamed in the past {turn}" for turn in range(3)]
    clock.set_back(0)
    eventually(lambda: _told_time(registry) > milliseconds() - HOUR * 1000 / 2)
    data = registry.ask("PATCH", path, {"device_name": "Renamed at last"}).body["data"]
    assert data["updated_at"] > before


def _told_time(registry: Registry) -> int:
    """Return what time it is for the server, by a device that it registers."""
    [device] = registry.ask("POST", "/api/devices", draft(next(_numbers))).body["data"]
    return int(device["created_at"])


def _follow(registry: Registry, cursor: str, pk: int) -> list[str]:
    """Return what the device was called by the changes behind the cursor."""
    names = []
    while True:
        page = registry.ask("GET", cursor).body
        if not page["data"]:
            return names
        names += [event["device"]["device_name"] for event in page["data"] if event["device"]["id"] == pk]
        cursor = page["pagination"]["next"].partition(str(registry.port))[2]


def _last_used(registry: Registry) -> str:
    code = "from devices.models import ApiKey; print(ApiKey.objects.get(name='tests').last_used_at.isoformat())"
    return registry.manage("shell", "-v0", "-c", code).strip()
