"""Fault injection: the real server, and clients that write during a fault and compare the result afterwards.

`FAULTS=full` injects each fault as often as docs/reliability.md says. Otherwise a few times are enough for CI.
"""

import http.client
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import psycopg
from psycopg import sql as pg

from devices.tests.support.factories import device_payload
from devices.tests.support.services.server import ROOT, children, served_from

FULL = os.environ.get("FAULTS") == "full"
_groups = itertools.count(1)  # each group of writers uses other names
TIMEOUT = 120.0  # seconds until everything must have recovered, on a busy machine
CONNECTION_ERRORS = (OSError, http.client.HTTPException)  # of a server that was killed


def times(full: int, few: int) -> int:
    return full if FULL else few


def eventually(condition: Callable[[], Any], seconds: float = TIMEOUT) -> Any:
    """Call the condition until its result is true, and return the result."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "the condition did not become true in time"
        time.sleep(0.05)
    return found


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any


class Client:
    """A client with a key, and the commands of the registry that it uses."""

    root = ROOT  # the folder of the code

    def __init__(self, environment: dict[str, str], address: str, key: str) -> None:
        """Prepare to send requests to the address (HOST:PORT)."""
        self.environment, self.address, self.key = environment, address, key

    def manage(self, *arguments: str, **environment: str) -> str:
        run = [sys.executable, "manage.py", *arguments]
        env = {**self.environment, **environment}
        return subprocess.run(run, cwd=self.root, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout

    def is_up(self) -> bool:
        try:
            return self.send("GET", "/healthz").status == 200
        except CONNECTION_ERRORS:
            return False

    def is_ready(self) -> bool:
        try:
            return self.send("GET", "/readyz", timeout=20).status == 200
        except CONNECTION_ERRORS:
            return False

    def send(self, method: str, path: str, body: Any = None, timeout: float = TIMEOUT, **headers: str) -> Response:
        """Send one request.

        Raises:
            OSError, http.client.HTTPException: there was no response.
        """
        connection = http.client.HTTPConnection(self.address, timeout=timeout)
        try:
            data = None if body is None else json.dumps(body)
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, data, {"x-api-key": self.key, "content-type": "application/json", **sent})
            response = connection.getresponse()
            content = response.read()
            is_json = response.headers.get_content_type() == "application/json"
            lower = {name.lower(): value for name, value in response.getheaders()}
            return Response(response.status, lower, json.loads(content) if is_json else content)
        finally:
            connection.close()

    def devices(self) -> dict[int, dict[str, Any]]:
        rows: dict[int, dict[str, Any]] = {}
        path = "/api/devices?size=1000"
        while path:
            page = self.send("GET", path)
            assert page.status == 200, page
            rows |= {row["id"]: row for row in page.body["data"]}
            path = (page.body["pagination"]["next"] or "").partition(self.address)[2]
        assert page.body["pagination"]["total"] == len(rows)
        return rows


class Registry(Client):
    """A gunicorn with two workers, as in production, and its database."""

    def __init__(self, database_url: str, log: Path, key: str = "", root: Path = ROOT, **environment: str) -> None:
        """Prepare to serve this database. Without a key, the database is empty: migrate it and issue a key.

        root: the folder of the code, for another release.
        """
        self.root = root
        environment = {**served_from(database_url), "WEB_CONCURRENCY": "2", **environment}
        self.port, self.log, self.log_level = int(environment["PORT"]), log, "error"
        super().__init__(environment, f"127.0.0.1:{self.port}", key)
        if not key:
            self.manage("migrate", "-v0")
        self.key = key or self.manage("create_api_key", "tests").strip()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it as a supervisor does: again if it ended because its port was still in use."""

        def serves() -> bool:
            if self.process is None or self.process.poll() is not None:
                self._run()
            return bool(self.workers()) and self.is_up()

        eventually(serves)

    def _run(self) -> None:
        # On SIGUSR2 gunicorn runs its command again. It cannot do that with `python -m gunicorn`.
        gunicorn = [str(Path(sys.executable).with_name("gunicorn")), "-c", "gunicorn.conf.py"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*gunicorn, "--log-level", self.log_level],
                cwd=self.root,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def workers(self) -> list[int]:
        return children(self.pid)

    def stop(self) -> None:
        """End all processes, also the workers of a killed master."""
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
        eventually(partial(have_ended, pids))


def copy_code(folder: Path) -> None:
    """Copy what a server needs from this checkout."""
    for name in ("cexup", "devices", "templates"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    for name in ("manage.py", "gunicorn.conf.py"):
        shutil.copy(ROOT / name, folder)


@contextmanager
def new_database(folder: Path) -> Iterator[str]:
    """Yield the URL of a new database: PostgreSQL if the tests run with it, else SQLite."""
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
def served(database_url: str, folder: Path, key: str = "", **environment: str) -> Iterator[Registry]:
    """Serve the registry from this database."""
    registry = Registry(database_url, folder / "log", key, ROOT, **environment)
    registry.start()
    try:
        yield registry
    finally:
        registry.stop()


class Sent(NamedTuple):
    """An acknowledged request with an Idempotency-Key: the time of its first attempt, and of its response."""

    begun: float
    ended: float
    method: str
    path: str
    body: Any
    key: str
    response: Response


class Clients:
    """Threads that send requests during a `with` block."""

    threads: list[threading.Thread]
    ended: threading.Event  # the threads end after the response to their last request
    failures: list[Any]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join(TIMEOUT)
        self.failures += [f"{thread.name} never received a response" for thread in self.threads if thread.is_alive()]


@dataclass
class Writers(Clients):
    """Clients that register, change and retire devices, and the devices that the registry must have afterwards.

    The `retrying` clients send each request until they receive a response, with the same Idempotency-Key. The `hasty`
    client sends each array once, without a key. An array without a response must be stored completely or not at all.
    """

    registry: Client
    retrying: int = 2
    size: int = 5
    group: int = field(default_factory=lambda: next(_groups))
    known: dict[int, dict[str, Any]] = field(default_factory=dict)  # by id: each device as of its last response
    hasty_arrays: dict[str, bool] = field(default_factory=dict)  # by name: whether the array was acknowledged
    acknowledged: list[float] = field(default_factory=list)  # the times
    seen: Counter[str] = field(default_factory=Counter)  # other statuses, and connection errors
    failures: list[Any] = field(default_factory=list)  # responses that are never allowed
    sent: list[Sent] = field(default_factory=list)  # the acknowledged requests

    def __post_init__(self) -> None:
        self.ended = threading.Event()
        writers = [threading.Thread(target=self._write, args=(number,)) for number in range(1, self.retrying + 1)]
        self.threads = [*writers, threading.Thread(target=self._write_hastily)]

    def wait_for(self, more: int) -> None:
        """Wait until this number of further requests is acknowledged."""
        goal = len(self.acknowledged) + more
        eventually(lambda: len(self.acknowledged) >= goal)

    def _write(self, number: int) -> None:
        turn = 0
        while not self.ended.is_set():
            turn += 1
            first = self.group * 10**9 + number * 10**8 + turn * 1000
            posted = [device_payload(first + i, device_holder=f"RS {self.group}") for i in range(self.size)]
            rows = self._send_until_response("POST", "/api/devices", posted)
            if rows is None:
                continue
            self.known |= {row["id"]: row for row in rows}
            one, other, *_rest = rows
            if row := self._send_until_response(
                "PATCH", f"/api/device/{one['id']}", {"device_name": f"Renamed {first}"}
            ):
                self.known[one["id"]] = row
            if self._send_until_response("DELETE", f"/api/device/{other['id']}") is not None:
                del self.known[other["id"]]

    def _send_until_response(self, method: str, path: str, body: Any = None) -> Any:
        """Return the `data` of the response. Return None and record a failure if the response is not allowed."""
        key, begun = uuid.uuid4().hex, time.monotonic()
        while time.monotonic() < begun + TIMEOUT:
            try:
                response = self.registry.send(method, path, body, idempotency_key=key)
            except CONNECTION_ERRORS as error:
                self.seen[type(error).__name__] += 1
                time.sleep(0.05)
                continue
            if response.status in (200, 201):
                self.acknowledged.append(time.monotonic())
                self.sent.append(Sent(begun, self.acknowledged[-1], method, path, body, key, response))
                return response.body["data"]
            self.seen[str(response.status)] += 1
            if not is_retryable(response):
                self.failures.append((method, path, response))
                return None
            time.sleep(0.1)
        self.failures.append((method, path, "no response"))
        return None

    def _write_hastily(self) -> None:
        turn = 0
        while not self.ended.is_set():
            turn += 1
            first, name = self.group * 10**9 + turn * 1000, f"Hasty {self.group}.{turn}"
            posted = [device_payload(first + i, device_name=f"{name}/{i}") for i in range(self.size)]
            self.hasty_arrays[name] = False
            try:
                response = self.registry.send("POST", "/api/devices", posted)
            except CONNECTION_ERRORS as error:
                self.seen[type(error).__name__] += 1
                time.sleep(0.05)
                continue
            self.hasty_arrays[name] = response.status == 201
            if response.status != 201:
                self.seen[str(response.status)] += 1
                if not is_retryable(response):
                    self.failures.append(("POST", name, response))
                time.sleep(0.1)

    def lost(self, found: dict[int, dict[str, Any]]) -> list[Any]:
        """Return what differs from the acknowledged writes: devices by id, and arrays that are missing or incomplete.

        found: the devices of the registry, by id.
        """
        own = {pk: row for pk, row in found.items() if row["device_holder"] == f"RS {self.group}"}
        devices = [pk for pk in self.known.keys() | own.keys() if self.known.get(pk) != own.get(pk)]
        sizes = Counter(row["device_name"].partition("/")[0] for row in found.values())
        arrays = [
            name
            for name, is_acknowledged in self.hasty_arrays.items()
            if sizes[name] != self.size and (is_acknowledged or sizes[name])
        ]
        return [*devices, *arrays]

    def check(self) -> None:
        """Compare the acknowledged writes with the registry."""
        assert self.failures == []
        found = self.registry.devices()
        assert self.lost(found) == []
        assert "All counters match." in self.registry.manage("check_counts")


class Readers(Clients):
    """Clients that read, and record failed requests: after the connection (`failures`), and refused connections."""

    def __init__(self, registry: Client, number: int = 4, path: str = "/api/devices?size=20") -> None:
        self.registry, self.path, self.ended = registry, path, threading.Event()
        self.succeeded, self.refused, self.failures = 0, 0, []
        self.threads = [threading.Thread(target=self._read) for _ in range(number)]

    def wait_for(self, more: int) -> None:
        """Wait until this number of further requests has succeeded."""
        goal = self.succeeded + more
        eventually(lambda: self.succeeded >= goal)

    def _read(self) -> None:
        while not self.ended.is_set():
            try:
                response = self.registry.send("GET", self.path)
            except ConnectionRefusedError:
                self.refused += 1
                time.sleep(0.05)
            except CONNECTION_ERRORS as error:
                self.failures.append(repr(error))
            else:
                self.succeeded += 1
                if response.status != 200:
                    self.failures.append(response)


def is_retryable(response: Response) -> bool:
    """Return whether the response is an envelope for a temporary error, with the Retry-After of nginx or gunicorn."""
    codes = [error["code"] for error in response.body.get("errors", [])] if isinstance(response.body, dict) else []
    return codes in (["unavailable"], ["still_running"]) and response.headers.get("retry-after") in ("1", "5")


@contextmanager
def probing(registry: Client) -> Iterator[list[tuple[float, str, int]]]:
    """Send health checks continuously; yield a list of the time, path and status of each (0: no response)."""
    seen: list[tuple[float, str, int]] = []
    ended = threading.Event()

    def probe() -> None:
        while not ended.wait(0.1):
            for path in ("/healthz", "/readyz"):
                try:
                    status = registry.send("GET", path, timeout=20).status
                except CONNECTION_ERRORS:
                    status = 0
                seen.append((time.monotonic(), path, status))

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join(60)


def have_ended(pids: Iterable[int]) -> bool:
    return not any(is_alive(pid) for pid in pids)


def is_alive(pid: int) -> bool:
    """Return whether the process runs, and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
