"""The server is killed, stopped and reloaded while clients write: each acknowledged write exists exactly once."""

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cexup import __version__
from devices.tests.support.factories import device_payload
from devices.tests.support.services.faults import (
    CONNECTION_ERRORS,
    Readers,
    Registry,
    Writers,
    copy_code,
    eventually,
    have_ended,
    is_alive,
    is_retryable,
    times,
)
from devices.tests.support.services.server import children, with_inherited_socket


def test_killed_worker_loses_and_duplicates_no_write(registry: Registry) -> None:
    chance = random.Random(7)  # noqa: S311  (when to kill, no secret)
    with Writers(registry, size=60) as writers:  # so large that a request is always running
        for _ in range(times(50, 4)):
            writers.wait_for(2)
            time.sleep(chance.random() * 0.2)
            workers = eventually(lambda: len(found := registry.workers()) == 2 and found)
            os.kill(chance.choice(workers), signal.SIGKILL)
    writers.check()
    dropped = sum(writers.seen[name] for name in ("ConnectionResetError", "RemoteDisconnected", "IncompleteRead"))
    assert dropped, "no request was running when a worker was killed"
    assert registry.is_ready()


def test_workers_of_a_killed_master_end_and_a_new_start_serves(registry: Registry) -> None:
    with Writers(registry) as writers:
        for _ in range(times(10, 1)):
            writers.wait_for(5)
            orphans = eventually(lambda: len(found := registry.workers()) == 2 and found)
            waiting = LongPoll(registry)
            os.kill(registry.pid, signal.SIGKILL)
            assert registry.process
            registry.process.wait(30)
            registry.start()
            eventually(partial(have_ended, orphans))
            waiting.join(40)
    writers.check()


class LongPoll(threading.Thread):
    """A request that waits for half a minute, and that a worker has read. A server that stops ends it."""

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self.ended_at = 0.0  # the time of its response
        self.connection = http.client.HTTPConnection(registry.address, timeout=60)
        path, headers = "/api/devices/changes?since=now&wait=30", {"x-api-key": registry.key}
        self.connection.request("GET", path, headers=headers)
        eventually(lambda: is_read(self.connection.sock))
        self.start()

    def run(self) -> None:
        with contextlib.suppress(*CONNECTION_ERRORS), contextlib.closing(self.connection):
            self.connection.getresponse().read()
            self.ended_at = time.monotonic()


def is_read(client: socket.socket) -> bool:
    """Return whether the server on this machine has accepted the connection, and has read all that was sent."""
    ports = [f"{name[1]:04X}" for name in (client.getpeername(), client.getsockname())]
    for line in Path("/proc/net/tcp").read_text().splitlines():
        _number, local, remote, _state, queues, *_others, inode = line.split()[:10]
        if [local.rpartition(":")[2], remote.rpartition(":")[2]] == ports:
            return inode != "0" and queues.endswith(":00000000")
    return False


def test_stop_under_load_loses_no_acknowledged_write_and_ends_waiting_requests(registry: Registry) -> None:
    with Writers(registry) as writers:
        for _ in range(times(10, 1)):
            writers.wait_for(10)
            waiting = LongPoll(registry)
            assert registry.process
            begun = time.monotonic()
            registry.process.terminate()
            assert registry.process.wait(60) == 0
            waiting.join(40)
            assert waiting.ended_at, "the waiting request got no response"
            assert waiting.ended_at - begun < 20, "the waiting request did not end early"
            registry.start()
    writers.check()
    assert set(writers.seen) <= {
        "BrokenPipeError",
        "ConnectionRefusedError",
        "ConnectionResetError",
        "RemoteDisconnected",
    }


def test_reload_under_load_drops_no_request(registry: Registry) -> None:
    with Writers(registry) as writers, Readers(registry) as readers:
        for _ in range(times(10, 1)):
            before = eventually(lambda: len(found := registry.workers()) == 2 and found)
            writers.wait_for(5)
            os.kill(registry.pid, signal.SIGHUP)
            eventually(partial(have_ended, before))
            writers.wait_for(5)
    writers.check()
    assert (readers.failures, readers.refused) == ([], 0)
    assert writers.seen == {}


def test_reload_loads_changed_code(registry: Registry, tmp_path: Path) -> None:
    """The new workers use the changed files only, also those that the master has loaded."""
    code = tmp_path / "code"
    copy_code(code)
    environment = {"LOG_FORMAT": "json", "WEB_CONCURRENCY": "1"}  # so `start` waits until all code is loaded
    changed = Registry(registry.environment["DATABASE_URL"], tmp_path / "log", registry.key, code, **environment)
    changed.log_level = "warning"
    changed.start()
    try:
        rename(code / "cexup" / "__init__.py", f'"{__version__}"', '"9.8.7"')
        for path in (code / "cexup").rglob("*.py"):
            rename(path, "current_request_id", "id_of_the_request")
        before = changed.workers()
        with Readers(changed) as readers:
            os.kill(changed.pid, signal.SIGHUP)
            eventually(partial(have_ended, before))
            readers.wait_for(20)
        assert changed.send("GET", "/healthz").body["data"] == {"version": "9.8.7"}
        assert changed.send("GET", f"/{'x' * 9000}").status == 414  # the worker itself responds, and logs
    finally:
        changed.stop()
    assert (readers.failures, readers.refused) == ([], 0)
    [record] = [json.loads(line) for line in changed.log.read_text().splitlines() if "LimitRequestLine" in line]
    assert record["request_id"] != "-"


def rename(path: Path, old: str, new: str) -> None:
    """Replace a text in a file."""
    path.write_text(path.read_text().replace(old, new))


def test_restarts_with_an_inherited_socket_lose_no_request(registry: Registry, tmp_path: Path) -> None:
    """In production systemd holds the listening socket (deploy/registry.socket); here the test does."""
    registry.stop()
    with socket.create_server(("127.0.0.1", registry.port), backlog=512) as listener:
        run = with_inherited_socket(listener, registry.environment, tmp_path)
        process = run()
        try:
            with Writers(registry) as writers, Readers(registry) as readers:
                for _ in range(times(20, 3)):
                    writers.wait_for(5)
                    process.terminate()
                    assert process.wait(60) == 0
                    process = run()
                writers.wait_for(5)
            writers.check()
        finally:
            process.terminate()
            process.wait(60)
    registry.start()
    assert (readers.failures, readers.refused) == ([], 0)
    assert writers.seen == {}


@pytest.mark.parametrize("ended", ["first", "second"])
def test_one_of_two_masters_stops_and_the_other_serves(registry: Registry, ended: str) -> None:
    first = registry.pid
    os.kill(first, signal.SIGUSR2)
    second = eventually(lambda: next((pid for pid in children(first) if len(children(pid)) == 2), None))
    try:
        with Readers(registry) as readers:
            os.kill(first if ended == "first" else second, signal.SIGTERM)
            eventually(lambda: not is_alive(first if ended == "first" else second), 60)
            assert all(registry.is_up() for _ in range(10))
        assert (readers.failures, readers.refused) == ([], 0)
        assert readers.succeeded
    finally:
        if is_alive(second):
            os.kill(second, signal.SIGTERM)
            eventually(lambda: not is_alive(second))
        registry.start()


def test_retried_post_without_a_response_is_executed_once(registry: Registry) -> None:
    for turn in range(times(20, 2)):
        key = {"idempotency_key": uuid.uuid4().hex}
        posted = [device_payload(600_000 + turn * 1000 + i, device_name=f"Once {turn}/{i}") for i in range(200)]

        def post(posted: Any = posted, key: Any = key) -> Any:
            try:
                return registry.send("POST", "/api/devices", posted, **key)
            except CONNECTION_ERRORS:
                return None

        first = threading.Thread(target=post)
        first.start()
        time.sleep(0.05 + 0.03 * turn)
        for pid in registry.workers():
            os.kill(pid, signal.SIGKILL)
        first.join(60)

        def post_again(post: Callable[[], Any] = post) -> Any:
            response = post()
            return response and not is_retryable(response) and response

        again = eventually(post_again)
        assert again.status == 201, again
        returned = {row["id"]: row for row in again.body["data"]}
        names = {row["device_name"] for row in posted}
        found = {pk: row for pk, row in registry.devices().items() if row["device_name"] in names}
        assert found == returned
        assert len(found) == 200
