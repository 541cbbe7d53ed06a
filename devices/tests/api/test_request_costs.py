"""The costs of a request: one permit of its key for each device, and stored bytes for its Idempotency-Key."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError

from devices.api import authentication, throttling
from devices.models import Device, IdempotencyRecord, RateLimitCounter
from devices.ratelimit import stores
from devices.ratelimit.limiter import RateLimiter, Reservation, Window
from devices.ratelimit.stores import DatabaseStore, RedisStore
from devices.tests.support.client import Api, issue
from devices.tests.support.clock import MINUTE, Clock
from devices.tests.support.factories import device_payload
from devices.tests.support.limits import MemoryStore
from devices.tests.support.services.redis import needs_redis
from devices.values.rates import Rate

DEVICES = "/api/devices"
WINDOW = Window(MINUTE, MINUTE + 60, 100)


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    stores.limiter().clock = clock
    yield clock
    stores.limiter.cache_clear()


def items(first: int, last: int) -> list[dict[str, Any]]:
    return [device_payload(number) for number in range(first, last + 1)]


# --- Leases and counters


def test_several_permits_can_be_consumed_together() -> None:
    leases = RateLimiter(MemoryStore(), Clock())
    rate = Rate(100, "min")
    assert leases.acquire("a", rate, 30) == (True, 70, 45)
    assert leases.acquire("a", rate) == (True, 69, 45)


def test_all_remaining_permits_are_consumed_if_too_few_are_left() -> None:
    leases = RateLimiter(MemoryStore(), Clock())
    rate = Rate(100, "min")
    assert leases.acquire("a", rate, 10_000) == (True, 0, 45)
    assert leases.acquire("a", rate) == leases.acquire("a", rate, 5) == (False, 0, 45)


def test_leased_permits_are_consumed_before_more_are_leased() -> None:
    shared = MemoryStore()
    leases = RateLimiter(shared, Clock())
    rate = Rate(6400, "min")
    leases.acquire("a", rate)  # a lease of 100
    assert leases.acquire("a", rate, 99).admitted
    assert shared.calls == 1
    assert leases.acquire("a", rate, 1000) == (True, 6400 - 100 - 1000, 45)


def test_single_permits_after_arrays_never_exceed_the_limit() -> None:
    shared, clock = MemoryStore(), Clock()
    processes = [RateLimiter(shared, clock) for _ in range(3)]
    rate = Rate(1000, "min")
    for leases in processes:
        leases.acquire("a", rate, 150)
    singles = sum(leases.acquire("a", rate).admitted for _ in range(400) for leases in processes)
    assert singles == 1000 - 3 * 150


@pytest.mark.django_db
def test_database_leases_the_wanted_permits_up_to_the_limit() -> None:
    counter = DatabaseStore()
    assert counter.reserve("a", WINDOW, 30) == Reservation(30, 30)
    assert counter.reserve("a", WINDOW, 69) == Reservation(69, 99)
    assert counter.reserve("a", WINDOW, 5) == Reservation(1, 100)
    assert counter.reserve("a", WINDOW, 5) == Reservation(0, 100)
    assert counter.reserve("b", WINDOW, 10_000) == Reservation(100, 100)
    assert counter.reserve("c", Window(MINUTE, MINUTE + 60, 6400), 20) == Reservation(100, 100)  # a batch is larger


@needs_redis
def test_redis_leases_the_wanted_permits_up_to_the_limit(
    redis_server: tuple[subprocess.Popen[bytes], str],
) -> None:
    counter = RedisStore(redis_server[1])
    assert counter.reserve("a", WINDOW, 30) == Reservation(30, 30)
    assert counter.reserve("a", WINDOW, 69) == Reservation(69, 99)
    assert counter.reserve("a", WINDOW, 5) == Reservation(1, 100)
    assert counter.reserve("a", WINDOW, 5) == Reservation(0, 100)
    assert counter.reserve("b", WINDOW, 10_000) == Reservation(100, 100)
    assert counter.reserve("c", Window(MINUTE, MINUTE + 60, 6400), 20) == Reservation(100, 100)


# --- A POST


@pytest.mark.django_db
def test_a_post_uses_one_permit_for_each_device(clock: Clock) -> None:
    api = Api(issue("app", rate="10/min").text)
    assert api.post(DEVICES, items(1, 4))["RateLimit"] == '"default";r=6;t=45'
    assert api.post(DEVICES, items(5, 6))["RateLimit"] == '"default";r=4;t=45'
    assert api.post(DEVICES, device_payload(7))["RateLimit"] == '"default";r=3;t=45'
    assert api.get(DEVICES)["RateLimit"] == '"default";r=2;t=45'


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["?dry_run=true", "/batch", "?mode=partial&dry_run=true"])
def test_dry_run_and_partial_consume_the_same_permits(clock: Clock, query: str) -> None:
    api = Api(issue("app", rate="10/min").text)
    assert api.post(DEVICES + query, items(1, 4))["RateLimit"] == '"default";r=6;t=45'
    assert RateLimitCounter.objects.get().used == 4


@pytest.mark.django_db
def test_invalid_devices_consume_permits_too(clock: Clock) -> None:
    api = Api(issue("app", rate="10/min").text)
    response = api.post(DEVICES, [{}] * 4)
    assert (response.status_code, response["RateLimit"]) == (400, '"default";r=6;t=45')


@pytest.mark.django_db
def test_array_longer_than_the_rate_is_allowed_once_a_window(clock: Clock) -> None:
    api = Api(issue("app", rate="10/min").text)
    first = api.post(DEVICES, items(1, 50))
    assert (first.status_code, first["RateLimit"]) == (201, '"default";r=0;t=45')
    second = api.post(DEVICES, device_payload(51))
    assert (second.status_code, second["Retry-After"]) == (429, "45")
    assert Device.objects.count() == 50
    clock.at += 45
    assert api.post(DEVICES, items(51, 100)).status_code == 201


@pytest.mark.django_db
def test_last_permit_of_a_window_allows_an_array(clock: Clock) -> None:
    api = Api(issue("app", rate="1/s").text)
    assert api.post(DEVICES, items(1, 50)).status_code == 201


@pytest.mark.django_db
def test_array_without_permits_after_authentication_writes_nothing(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = issue("app", rate="10/min")
    api = Api(issued.text)
    touch = authentication.touch_last_used

    def consume_all(key: Any) -> None:
        touch(key)
        stores.limiter().acquire(f"key:{issued.key.pk}", Rate(10, "min"), 100)

    monkeypatch.setattr(authentication, "touch_last_used", consume_all)
    response = api.post(DEVICES, items(1, 5))
    assert (response.status_code, response["Retry-After"]) == (429, "45")
    assert not Device.objects.exists()


# --- Stored responses


def once(number: int) -> dict[str, str]:
    return {"idempotency-key": str(number)}


@pytest.mark.django_db
def test_large_error_response_is_not_stored(api: Api) -> None:
    response = api.post(DEVICES, [{}] * 1000, **once(1))
    assert (response.status_code, len(response.content) > 100_000) == (400, True)
    assert IdempotencyRecord.objects.get().body == b""


@pytest.mark.django_db
def test_stored_bytes_of_a_key_are_limited(api: Api, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "STORAGE", Rate(5000, "d"))
    statuses = [api.post(DEVICES, device_payload(number), **once(number)).status_code for number in range(1, 20)]
    stored = IdempotencyRecord.objects.count()
    assert statuses == [201] * stored + [429] * (19 - stored)
    assert 5 <= stored <= 9
    assert Device.objects.count() == stored
    response = api.post(DEVICES, device_payload(50), **once(50))
    assert int(response["Retry-After"]) > 3600
    assert api.post(DEVICES, device_payload(50)).status_code == 201  # without a key


@pytest.mark.django_db
def test_stored_response_is_replayed_above_the_limit(api: Api, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "STORAGE", Rate(1, "d"))
    first = api.post(DEVICES, device_payload(1), **once(1))
    assert api.post(DEVICES, device_payload(2), **once(2)).status_code == 429
    again = api.post(DEVICES, device_payload(1), **once(1))
    assert (again.status_code, again.content, again["Idempotency-Replayed"]) == (201, first.content, "true")


@pytest.mark.django_db
def test_stored_bytes_are_counted_by_key_and_day(
    api: Api, reader: Api, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttling, "STORAGE", Rate(1, "d"))
    api.post(DEVICES, device_payload(1), **once(1))
    assert api.post(DEVICES, device_payload(2), **once(2)).status_code == 429
    assert Api(issue("another").text).post(DEVICES, device_payload(2), **once(2)).status_code == 201
    clock.at += 86_400
    assert api.post(DEVICES, device_payload(3), **once(3)).status_code == 201


@pytest.mark.django_db
def test_failing_counter_fails_no_request(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(DatabaseStore, "reserve", fail)
    monkeypatch.setattr(throttling, "STORAGE", Rate(1, "d"))
    assert [api.post(DEVICES, device_payload(number), **once(number)).status_code for number in (1, 2)] == [201, 201]
    assert "cannot be counted" in caplog.text
