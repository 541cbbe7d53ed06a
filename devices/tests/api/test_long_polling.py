"""Long polling: a request returns as soon as there is a change, and does not delay other requests."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from django.db import connection
from django.utils import timezone

from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.api import long_polling
from devices.models import ApiKey
from devices.registry import hospitals
from devices.tests.support.changes import PATH, actions_of
from devices.tests.support.client import Api, issue
from devices.tests.support.concurrency import at_once
from devices.tests.support.factories import device_payload, register
from devices.tests.support.services.server import ROOT

NOW = f"{PATH}?since=now&wait=30"


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Poll often, and release the semaphore each time that a waiting request sleeps without a connection."""
    sleeps, release = threading.Semaphore(0), long_polling._release_connection

    def release_and_count() -> None:
        release()
        assert connection.connection is None
        sleeps.release()

    monkeypatch.setattr(long_polling, "_release_connection", release_and_count)
    monkeypatch.setattr(long_polling, "POLL_INTERVAL", 0.02)
    monkeypatch.setattr(long_polling, "_cached_at", -1.0)
    return sleeps


@pytest.mark.django_db(transaction=True)
def test_waiting_request_has_no_connection_and_returns_the_next_change(asleep: threading.Semaphore) -> None:
    key = issue("ward app").text

    def act(number: int) -> Any:
        if number == 0:
            return Api(key).get(NOW)
        for _ in range(3):
            assert asleep.acquire(timeout=20)
        return register(device_payload(1))

    assert actions_of(at_once(2, act)[0]) == [("created", "Cuff 1")]


@pytest.mark.django_db(transaction=True)
def test_change_outside_the_scope_does_not_end_the_wait(asleep: threading.Semaphore) -> None:
    hospital = hospitals.get_or_create(["RS Harapan"], SYSTEM)["rs harapan"]
    key = issue("ward app", hospitals=[hospital]).text

    def act(number: int) -> Any:
        if number == 0:
            return Api(key).get(NOW)
        for device in (device_payload(1), device_payload(2), device_payload(3, device_holder="RS Harapan")):
            for _ in range(3):
                assert asleep.acquire(timeout=20)
            register(device)
        return None

    assert actions_of(at_once(2, act)[0]) == [("created", "Cuff 3")]


def revoke(key: ApiKey) -> None:
    api_keys.revoke(key, SYSTEM)


def expire(key: ApiKey) -> None:
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now())


def bind_to_a_hospital(key: ApiKey) -> None:
    ApiKey.objects.filter(pk=key.pk).update(all_hospitals=False)
    key.hospitals.set(hospitals.get_or_create(["RS Harapan"], SYSTEM).values())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("end", "status"), [(revoke, 401), (expire, 401), (bind_to_a_hospital, 410)])
def test_key_that_becomes_invalid_during_the_wait_gets_no_data(
    end: Callable[[ApiKey], None], status: int, asleep: threading.Semaphore
) -> None:
    issued = issue("ward app")

    def act(number: int) -> Any:
        if number == 0:
            return Api(issued.text).get(NOW)
        assert asleep.acquire(timeout=20)
        end(issued.key)
        return register(device_payload(1))

    response = at_once(2, act)[0]
    assert (response.status_code, response.json()["data"]) == (status, [])
    assert b"Cuff" not in response.content


@pytest.mark.django_db(transaction=True)
def test_request_above_the_limit_does_not_wait(asleep: threading.Semaphore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_polling, "_slots", long_polling.Slots(total=1, per_key=1))
    key = issue("ward app").text
    is_complete = threading.Event()

    def act(number: int) -> Any:
        if number == 0:
            first = Api(key).get(NOW)
            is_complete.set()
            return first
        assert asleep.acquire(timeout=20)
        second = Api(key).get(NOW)
        assert not is_complete.is_set()
        register(device_payload(1))
        return second

    first, second = at_once(2, act)
    assert (actions_of(first), actions_of(second)) == ([("created", "Cuff 1")], [])
    assert actions_of(
        Api(key).get(second.json()["pagination"]["next"].removeprefix("http://testserver"))
    ) == actions_of(first)


@pytest.mark.django_db(transaction=True)
def test_requests_of_one_key_that_wait_are_limited(
    asleep: threading.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_polling, "_slots", long_polling.Slots(total=3, per_key=2))
    greedy, other = issue("greedy").text, issue("other").text

    def act(number: int) -> Any:
        if number < 3:
            return Api(other if number == 2 else greedy).get(NOW)
        while long_polling._slots.taken.total() < 3:
            assert asleep.acquire(timeout=20)
        third = Api(greedy).get(NOW)
        register(device_payload(1))
        return third

    *waited, third = at_once(4, act)
    assert actions_of(third) == []
    assert [actions_of(response) for response in waited] == [[("created", "Cuff 1")]] * 3


def test_slot_is_released_after_its_request() -> None:
    slots = long_polling.Slots(total=2, per_key=1)
    with slots.take(1) as first, slots.take(1) as same_key, slots.take(2) as second, slots.take(3) as third:
        assert (first, same_key, second, third) == (True, False, True, False)
    with slots.take(2) as second, slots.take(3) as third:
        assert (second, third) == (True, True)
    assert not slots.taken


def test_end_of_the_wait_returns_an_empty_page_with_next(api: Api) -> None:
    response = api.get(f"{PATH}?since=now&wait=1")
    assert actions_of(response) == []
    assert response.json()["pagination"]["next"].endswith("&wait=1")


@pytest.fixture
def small_server(
    tmp_path: Path, server_environment: dict[str, str], unused_port: str
) -> Iterator[tuple[str, str, Any]]:
    """Start gunicorn with two threads for work and two for waiting. Return its URL, a key and the process."""
    port = unused_port
    waiters = {"WEB_THREADS": "1", "FEED_WAITERS": "2", "FEED_WAITERS_PER_KEY": "2"}
    own = {"PORT": port, "DATABASE_URL": f"sqlite:///{tmp_path / 'r.sqlite3'}", **waiters}
    environment = server_environment | own
    run = [sys.executable, "manage.py"]
    subprocess.run([*run, "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    create = [*run, "create_api_key", "tests"]
    key = subprocess.run(create, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "--log-level", "critical"]
    process = subprocess.Popen(gunicorn, cwd=ROOT, env=environment)
    try:
        for _ in range(1200):  # one minute, for a busy machine
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", key, process
    finally:
        process.kill()
        process.wait(30)


def test_waiting_requests_leave_threads_to_others_and_end_at_shutdown(small_server: tuple[str, str, Any]) -> None:
    address, key, process = small_server

    def get(path: str) -> Any:
        with urlopen(Request(address + path, headers={"x-api-key": key}), timeout=25) as response:
            return json.load(response)

    with ThreadPoolExecutor(8) as pool:
        waiters = [pool.submit(get, NOW) for _ in range(6)]
        complete = {waiter for waiter in waiters if _done(waiter, among=waiters)}
        assert len(complete) == 4
        for _ in range(20):
            assert get("/api/devices")["data"] == []
        assert [waiter.done() for waiter in waiters].count(True) == 4
        process.send_signal(signal.SIGTERM)
        assert all(waiter.result(25)["data"] == [] for waiter in waiters)
    assert process.wait(25) == 0


def _done(waiter: Any, among: list[Any]) -> bool:
    """Wait until all requests without a slot are complete, and return whether this one is."""
    while sum(other.done() for other in among) < 4:
        time.sleep(0.05)
    return bool(waiter.done())
