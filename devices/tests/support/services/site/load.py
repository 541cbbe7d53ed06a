"""Clients of the site during a fault, and what they saw of it."""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devices.tests.support.services.faults import CONNECTION_ERRORS, Client, Writers, eventually, is_retryable
from devices.tests.support.services.server import ROOT
from devices.tests.support.services.site.databases import Databases

FULL = os.environ.get("CLUSTER") == "full"
REPLAYS = 60
STRADDLING = 3.0  # seconds around the fault, whose requests are sent again


class Walkers:
    """Clients that read the whole list of a hospital whose devices do not change, again and again."""

    def __init__(self, client: Client, expected: list[int], threads: int = 2) -> None:
        self.client, self.expected = client, expected
        self.walks, self.partial, self.failures = 0, 0, []  # type: int, int, list[Any]
        self.seen: Counter[str] = Counter()
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self._walk) for _ in range(threads)]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join(120)
        self.failures += [f"{thread.name} does not end" for thread in self.threads if thread.is_alive()]

    def _walk(self) -> None:
        while not self.ended.wait(0.05):
            found: list[int] = []
            path = "/api/devices?size=50"
            while path and not self.ended.is_set():
                try:
                    page = self.client.send("GET", path)
                except CONNECTION_ERRORS as error:
                    self.seen[type(error).__name__] += 1
                    time.sleep(0.05)
                    continue
                if page.status == 200:
                    found += [row["id"] for row in page.body["data"]]
                    path = (page.body["pagination"]["next"] or "").partition(self.client.address)[2]
                    continue
                self.seen[str(page.status)] += 1
                if not is_retryable(page):
                    self.failures.append(page)
                    return
                time.sleep(0.1)
            if not path:
                self.walks += 1
                self.partial += sorted(found) != self.expected


class Follower:
    """A copy of the registry that `follow_changes` keeps."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client, self.copy = client, folder / "copy.jsonl"
        (folder / "key").write_text(client.key)
        files = {"--key-file": folder / "key", "--state": folder / "state.sqlite3", "--out": self.copy}
        options = [str(word) for pair in files.items() for word in pair]
        self.command = [sys.executable, "manage.py", "follow_changes", f"http://{client.address}", *options]
        self.process: subprocess.Popen[bytes] | None = None
        self.has_followed = False  # until `stop`, so that not only `equals` completes the copy

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(self.command, cwd=ROOT, env=self.client.environment, stdout=quiet, stderr=quiet)

    def stop(self) -> None:
        if self.process:
            self.has_followed = self.process.poll() is None
            self.process.kill()
            self.process.wait(30)

    def equals(self, devices: dict[int, dict[str, Any]]) -> bool:
        """Complete the copy, and compare it with the devices of the registry, row for row."""
        subprocess.run(
            [*self.command, "--once"], cwd=ROOT, env=self.client.environment, check=True, capture_output=True
        )
        rows = [json.loads(line) for line in self.copy.read_text().splitlines()]
        return rows == list(devices.values())


@dataclass
class Report:
    """The effects of one fault that clients saw."""

    fault: str
    seconds_without_writes: float = 0.0
    acknowledged: int = 0
    lost: list[Any] = field(default_factory=list)
    forbidden: list[Any] = field(default_factory=list)  # responses other than 2xx and a 503 or 409 to retry
    failed: Counter[str] = field(default_factory=Counter)  # requests without a response, and those to retry
    walks: int = 0
    partial_lists: int = 0
    copy_equal: bool = False
    counts_match: bool = False
    replayed: int = 0
    wrong_replays: list[Any] = field(default_factory=list)

    def __str__(self) -> str:
        failed = ", ".join(f"{number} × {name}" for name, number in sorted(self.failed.items())) or "0"
        return (
            f"{self.fault}: {self.seconds_without_writes:.1f} s without writes, {self.acknowledged} acknowledged, "
            f"{len(self.lost)} lost, {len(self.forbidden)} forbidden, failed: {failed}, {self.partial_lists} of "
            f"{self.walks} lists partial, copy {'equal' if self.copy_equal else 'DIFFERENT'}, counts "
            f"{'match' if self.counts_match else 'DIFFER'}, {self.replayed} replayed, {len(self.wrong_replays)} wrong"
        )

    def check(self) -> None:
        """Check what is promised for every fault."""
        assert self.lost == []
        assert self.forbidden == []
        assert self.partial_lists == 0
        assert self.walks > 0
        assert self.copy_equal
        assert self.counts_match
        assert self.wrong_replays == []
        assert self.replayed > 0


class Load:
    """Writers, readers and a copy, around one fault."""

    def __init__(self, fault: str, client: Client, reader: Client, stable: list[int], folder: Path) -> None:
        self.client = client
        self.writers = Writers(client, retrying=4)
        self.walkers = Walkers(reader, stable)
        self.follower = Follower(client, folder)
        self.report = Report(fault)
        self.begun = self.recovered = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the clients work, before the fault and until the site is restored."""
        self.follower.start()
        self.walkers.start()
        try:
            with self.writers:
                self.writers.wait_for(20)
                eventually(self.follower.copy.exists)
                yield
                self.writers.wait_for(20)
        finally:
            self.walkers.stop()
            self.follower.stop()

    def inject(self, fault: Callable[[], Any], more: int = 30) -> None:
        """Inject the fault, and wait until this number of requests is acknowledged after it."""
        self.begun = self.begun or time.monotonic()
        fault()
        end = time.monotonic()
        eventually(lambda: len([moment for moment in self.writers.acknowledged[-more:] if moment > end]) == more)
        self.recovered = time.monotonic()

    def switch_over(self, databases: Databases) -> None:
        """Change the leader on purpose, as an operator does."""
        leader = databases.must_lead()
        self.inject(lambda: leader.control("switchover", "--force"))

    def evaluate(self) -> Report:
        """Compare the acknowledged writes with the registry. The clients have ended, and the site is restored."""
        report, writers = self.report, self.writers
        moments = [moment for moment in writers.acknowledged if self.begun - 1 < moment <= self.recovered]
        gaps = [after - before for before, after in itertools.pairwise(moments)]
        report.seconds_without_writes = max(gaps, default=0.0)
        report.acknowledged = len(writers.acknowledged)
        report.failed = writers.seen + self.walkers.seen
        report.forbidden = [*writers.failures, *self.walkers.failures]
        report.walks, report.partial_lists = self.walkers.walks, self.walkers.partial
        self._replay()
        found = self.client.devices()
        report.lost = writers.lost(found)
        report.copy_equal = self.follower.has_followed and self.follower.equals(found)
        report.counts_match = "All counters match." in self.client.manage("check_counts")
        return report

    def _replay(self) -> None:
        """Send requests again that were sent around the fault, those that took longest first. Compare the responses."""
        around = [
            sent for sent in self.writers.sent if sent.begun <= self.recovered and sent.ended >= self.begun - STRADDLING
        ]
        for sent in sorted(around, key=lambda sent: sent.begun - sent.ended)[:REPLAYS]:
            response = self.client.send(sent.method, sent.path, sent.body, idempotency_key=sent.key)
            self.report.replayed += 1
            if (response.status, response.body) != (sent.response.status, sent.response.body):
                self.report.wrong_replays.append((sent, response))
