"""What the tests of faults run: the real server, clients that write until they are answered, and what they know then.

`FAULTS=full` strikes as often as docs/reliability.md says; without it a few times, so that CI is done soon.
"""

import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import sql as pg

from devices.tests.support.factories import device_payload
from devices.tests.support.server import ROOT, children, served_from

FULL = os.environ.get("FAULTS") == "full"
_eras = itertools.count(1)  # each group of writers has names of its own
PATIENCE = 120.0  # seconds in which everything must be well again, on a busy machine
LOST = (OSError, http.client.HTTPException)  # what a client sees of a server that was killed


def times(full: int, few: int) -> int:
    return full if FULL else few


def eventually(what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Return what is true at last."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)
    return found


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any


class Registry:
    """A gunicorn as in production, with two workers, on a database of its own."""

    def __init__(self, database_url: str, log: Path, key: str = "") -> None:
        """Serve this database; one for which there is no key yet is empty, and migrated first."""
        self.environment = {**served_from(database_url), "WEB_CONCURRENCY": "2"}
        self.port, self.log = int(self.environment["PORT"]), log
        if not key:
            self.manage("migrate", "-v0")
        self.key = key or self.manage("create_api_key", "tests").strip()
        self.process: subprocess.Popen[bytes] | None = None

    def manage(self, *arguments: str, **environment: str) -> str:
        run = [sys.executable, "manage.py", *arguments]
        env = {**self.environment, **environment}
        return subprocess.run(run, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout

    def start(self) -> None:
        """Start it as a supervisor does: again, if it ended because its port was not free yet."""

        def serves() -> bool:
            if self.process is None or self.process.poll() is not None:
                self._run()
            return bool(self.workers()) and self.is_up()

        eventually(serves)

    def _run(self) -> None:
        # The command itself, which it can run again for SIGUSR2, as it cannot `python -m gunicorn`.
        gunicorn = [Path(sys.executable).with_name("gunicorn"), "-c", "gunicorn.conf.py", "--log-level", "error"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                gunicorn, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def is_up(self) -> bool:
        try:
            return self.ask("GET", "/healthz").status == 200
        except LOST:
            return False

    def is_ready(self) -> bool:
        try:
            return self.ask("GET", "/readyz", timeout=20).status == 200
        except LOST:
            return False

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def workers(self) -> list[int]:
        return children(self.pid)

    def stop(self) -> None:
        """End what is left, workers whose master was killed included."""
        if self.process is None:
            return
        pids = [*self.workers(), self.pid] if self.process.poll() is None else []
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                self.process.send_signal(sign)
                try:
                    self.process.wait(40)
                except subprocess.TimeoutExpired:
                    continue
        for pid in pids:
            eventually(lambda pid=pid: not is_alive(pid))

    def ask(self, method: str, path: str, body: Any = None, timeout: float = PATIENCE, **headers: str) -> Answer:
        """Send one request.

        Raises:
            OSError, http.client.HTTPException: it was not answered.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = None if body is None else json.dumps(body)
            headers = {"x-api-key": self.key, "content-type": "application/json", **headers}
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            told = response.read()
            is_json = response.headers.get_content_type() == "application/json"
            lower = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, lower, json.loads(told) if is_json else told)
        finally:
            connection.close()

    def devices(self) -> dict[int, dict[str, Any]]:
        rows: dict[int, dict[str, Any]] = {}
        path = "/api/devices?size=1000"
        while path:
            page = self.ask("GET", path)
            assert page.status == 200, page
            rows |= {row["id"]: row for row in page.body["data"]}
            path = (page.body["pagination"]["next"] or "").partition(str(self.port))[2]
        assert page.body["pagination"]["total"] == len(rows)
        return rows


@contextmanager
def database_of_its_own(folder: Path) -> Iterator[str]:
    """Give the URL of a new database of the kind that is tested."""
    url = os.environ.get("TEST_DATABASE_URL")
    if not url:
        yield f"sqlite:///{folder / 'registry.sqlite3'}"
        return
    name = f"faults_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(pg.SQL("CREATE DATABASE {}").format(pg.Identifier(name)))
        yield f"{url.rsplit('/', 1)[0]}/{name}"
        connection.execute(pg.SQL("DROP DATABASE {} WITH (FORCE)").format(pg.Identifier(name)))


@contextmanager
def served(database_url: str, folder: Path, key: str = "") -> Iterator[Registry]:
    """Serve the registry from this database."""
    registry = Registry(database_url, folder / "log", key)
    registry.start()
    try:
        yield registry
    finally:
        registry.stop()


@dataclass
class Writers:
    """Clients that register, change and retire devices until they are told to end, and what there must be then.

    `faithful` ones send a request again, with the same Idempotency-Key, until it is answered. The `hasty` one sends
    each list once, without a key: of what it was not told it knows only that it must be there whole or not at all.
    """

    registry: Registry
    faithful: int = 2
    size: int = 5
    era: int = field(default_factory=lambda: next(_eras))
    known: dict[int, dict[str, Any]] = field(default_factory=dict)  # the devices by their ids, as they were told last
    hasty_lists: dict[str, bool] = field(default_factory=dict)  # by the name of the list: whether it was acknowledged
    acknowledged: list[float] = field(default_factory=list)  # when
    seen: Counter[str] = field(default_factory=Counter)  # what was answered otherwise
    wrong: list[Any] = field(default_factory=list)  # what may never be answered

    def __post_init__(self) -> None:
        self.ended = threading.Event()
        writers = [threading.Thread(target=self._write, args=(number,)) for number in range(1, self.faithful + 1)]
        self.threads = [*writers, threading.Thread(target=self._write_hastily)]

    def __enter__(self) -> "Writers":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        """End, once each request is answered."""
        self.ended.set()
        for thread in self.threads:
            thread.join(PATIENCE)
        self.wrong += [f"{thread.name} was never answered" for thread in self.threads if thread.is_alive()]

    def wait_for(self, more: int) -> None:
        """Wait until so many more requests are acknowledged."""
        goal = len(self.acknowledged) + more
        eventually(lambda: len(self.acknowledged) >= goal)

    def _write(self, number: int) -> None:
        turn = 0
        while not self.ended.is_set():
            turn += 1
            first = self.era * 10**9 + number * 10**8 + turn * 1000
            posted = [device_payload(first + i, device_holder=f"RS {self.era}") for i in range(self.size)]
            rows = self._until_answered("POST", "/api/devices", posted)
            if rows is None:
                continue
            self.known |= {row["id"]: row for row in rows}
            one, other, *_rest = rows
            if row := self._until_answered("PATCH", f"/api/device/{one['id']}", {"device_name": f"Renamed {first}"}):
                self.known[one["id"]] = row
            if self._until_answered("DELETE", f"/api/device/{other['id']}") is not None:
                del self.known[other["id"]]

    def _until_answered(self, method: str, path: str, body: Any = None) -> Any:
        """Return the `data` of the answer; None, and a complaint, if it is one that may not be."""
        key, end = uuid.uuid4().hex, time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                answer = self.registry.ask(method, path, body, **{"idempotency-key": key})
            except LOST as lost:
                self.seen[type(lost).__name__] += 1
                time.sleep(0.05)
                continue
            if answer.status in (200, 201):
                self.acknowledged.append(time.monotonic())
                return answer.body["data"]
            self.seen[str(answer.status)] += 1
            if not may_be_sent_again(answer):
                self.wrong.append((method, path, answer))
                return None
            time.sleep(0.1)
        self.wrong.append((method, path, "was never answered"))
        return None

    def _write_hastily(self) -> None:
        turn = 0
        while not self.ended.is_set():
            turn += 1
            first, name = self.era * 10**9 + turn * 1000, f"Hasty {self.era}.{turn}"
            posted = [device_payload(first + i, device_name=f"{name}/{i}") for i in range(self.size)]
            self.hasty_lists[name] = False
            try:
                answer = self.registry.ask("POST", "/api/devices", posted)
            except LOST as lost:
                self.seen[type(lost).__name__] += 1
                time.sleep(0.05)
                continue
            self.hasty_lists[name] = answer.status == 201
            if answer.status != 201:
                self.seen[str(answer.status)] += 1
                if not may_be_sent_again(answer):
                    self.wrong.append(("POST", name, answer))
                time.sleep(0.1)

    def check(self) -> None:
        """Compare what was acknowledged with what there is."""
        assert self.wrong == []
        there = self.registry.devices()
        assert {pk: row for pk, row in there.items() if row["device_holder"] == f"RS {self.era}"} == self.known
        names = [row["device_name"].partition("/")[0] for row in there.values()]
        sizes = Counter(name for name in names if name.startswith(f"Hasty {self.era}."))
        assert set(sizes.values()) <= {self.size}, "a list is torn"
        lost = [name for name, acknowledged in self.hasty_lists.items() if acknowledged and not sizes[name]]
        assert lost == []
        assert "All counters match." in self.registry.manage("check_counts")


def may_be_sent_again(answer: Answer) -> bool:
    """Tell whether it is an envelope that says: not now, but soon."""
    codes = [error["code"] for error in answer.body.get("errors", [])] if isinstance(answer.body, dict) else []
    return codes in (["unavailable"], ["still_running"]) and answer.headers.get("retry-after") == "1"


@contextmanager
def watched(registry: Registry) -> Iterator[list[tuple[float, str, int]]]:
    """Ask both probes all the time; give when each was answered, with what (0: not at all)."""
    seen: list[tuple[float, str, int]] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.1):
            for probe in ("/healthz", "/readyz"):
                try:
                    status = registry.ask("GET", probe, timeout=20).status
                except LOST:
                    status = 0
                seen.append((time.monotonic(), probe, status))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join(60)


def is_alive(pid: int) -> bool:
    """Tell whether the process is there, and no mere entry that nobody has asked for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
