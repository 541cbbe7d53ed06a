"""The rate limit of an API key, and the limit of invalid keys from a network."""

import logging
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.crypto import keys
from devices.models import ApiKey, Device, RateLimitCounter
from devices.ratelimit import stores
from devices.ratelimit.limiter import BATCH_DIVISOR, Reservation, StoreUnavailable, Window
from devices.ratelimit.stores import (
    BREAKER_SECONDS,
    WINDOW_GRACE_SECONDS,
    DatabaseStore,
    FallbackStore,
    RedisStore,
)
from devices.tests.support.admin.api_keys import LEGACY_KEY, form, mistype
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.clock import MINUTE, Clock
from devices.tests.support.factories import device_payload, register

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    stores.limiter().clock = clock
    yield clock
    stores.limiter.cache_clear()


def statuses(api: Api, times: int, path: str = "/api/devices") -> list[int]:
    return [api.get(path).status_code for _ in range(times)]


def test_key_is_limited_to_its_rate(clock: Clock) -> None:
    api = Api(issue("app", rate="3/min").text)
    assert statuses(api, 5) == [200] * 3 + [429] * 2
    assert statuses(Api(issue("another", rate="3/min").text), 1) == [200]
    clock.at += 45
    assert statuses(api, 4) == [200] * 3 + [429]


def test_429_has_the_envelope_and_retry_after(clock: Clock) -> None:
    api = Api(issue("app", rate="2/min").text)
    first = api.get("/api/devices")
    assert first["RateLimit-Policy"] == '"default";q=2;w=60'
    assert first["RateLimit"] == '"default";r=1;t=45'
    api.get("/api/devices")
    response = api.get("/api/devices")
    assert (response.status_code, response["Retry-After"]) == (429, "45")
    assert response["RateLimit-Policy"] == '"default";q=2;w=60'
    assert response["RateLimit"] == '"default";r=0;t=45'
    assert response.json() == {
        "status": "TOO_MANY_REQUESTS",
        "code": 429,
        "message": "Rate limit exceeded: 2/min for this API key. Retry in 45 seconds.",
        "data": [],
        "errors": [
            {
                "field": None,
                "code": "too_many_requests",
                "message": "Rate limit exceeded: 2/min for this API key. Retry in 45 seconds.",
            }
        ],
    }
    indonesian = api.get("/api/devices", **{"accept-language": "id"}).json()["message"]
    assert indonesian == "Batas laju terlampaui: 2/min untuk kunci API ini. Ulangi dalam 45 detik."


def test_each_response_has_the_rate_limit_headers(clock: Clock) -> None:
    api = Api(issue("app", rate="100/min").text, origin="https://app.example.org")
    requests: list[tuple[str, str, Any]] = [
        ("GET", "/api/device/9", None),
        ("GET", "/api/none", None),
        ("POST", "/api/devices", []),
    ]
    for method, path, body in requests:
        assert '"default";r=' in api(method, path, body)["RateLimit"]
    posted = api.post("/api/devices", device_payload(1), **{"idempotency-key": "1"})
    again = api.post("/api/devices", device_payload(1), **{"idempotency-key": "1"})
    assert (posted["RateLimit"], again["RateLimit"]) == ('"default";r=96;t=45', '"default";r=95;t=45')
    exposed = posted["Access-Control-Expose-Headers"]
    assert {"ratelimit", "ratelimit-policy", "retry-after"} <= set(exposed.split(", "))
    tag = api.get("/api/devices")["ETag"]
    assert api.get("/api/devices", **{"if-none-match": tag})["RateLimit"] == '"default";r=93;t=45'


def test_write_over_the_limit_writes_nothing(clock: Clock) -> None:
    api = Api(issue("app", rate="1/h").text)
    assert api.post("/api/devices", device_payload(1)).status_code == 201
    assert api.post("/api/devices", device_payload(2)).status_code == 429
    assert api.delete("/api/device/1").status_code == 429
    assert len(Api(issue("other").text).get("/api/devices").json()["data"]) == 1


def test_default_rate_applies_to_keys_without_a_rate(clock: Clock, settings: Any) -> None:
    settings.API_RATE = "2/min"
    assert statuses(Api(issue("app").text), 3) == [200, 200, 429]
    assert statuses(Api(issue("busy", rate="unlimited").text), 5) == [200] * 5
    assert statuses(Api(issue("own", rate="4/s").text), 5) == [200] * 4 + [429]


def test_leased_permit_takes_no_query(clock: Clock, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    api = Api(issue("app", rate="6000/min").text)
    register(device_payload(1))
    api.get("/api/devices")
    with django_assert_num_queries(2):  # the key, the list
        api.get("/api/devices")
    assert RateLimitCounter.objects.get().used == 6000 // 64


# --- Invalid keys


def attempt(key: str, times: int = 1, **headers: str) -> list[int]:
    return statuses(Api(key, **headers), times)


def test_network_with_too_many_invalid_keys_gets_429(clock: Clock, settings: Any) -> None:
    settings.API_FAILED_RATE = "5/min"
    assert attempt(LEGACY_KEY, 7) == [401] * 5 + [429] * 2
    response = Api(LEGACY_KEY).get("/api/devices")
    assert (response["Retry-After"], errors(response)) == ("45", [(None, "too_many_failed_keys")])
    assert response["RateLimit-Policy"] == '"failed-keys";q=5;w=60'
    clock.at += 45
    assert attempt(LEGACY_KEY) == [401]


def test_legacy_key_is_not_looked_up_above_the_limit(clock: Clock, settings: Any) -> None:
    settings.API_FAILED_RATE = "5/min"
    api_keys.import_key(LEGACY_KEY, "first web client", SYSTEM, all_hospitals=True)
    attempt("guess-0123456789", 6)
    with CaptureQueriesContext(connection) as queries:
        assert attempt(LEGACY_KEY) == [429]
    assert not [query for query in queries if ApiKey._meta.db_table in query["sql"]]
    clock.at += 45
    assert attempt(LEGACY_KEY) == [200]


def test_issued_keys_work_above_the_limit(clock: Clock, settings: Any) -> None:
    settings.API_FAILED_RATE = "5/min"
    issued = issue("app").text
    attempt("guess-0123456789", 6)
    attempt(mistype(issued), 6)
    assert attempt(mistype(issued)) == attempt("guess-0123456789") == attempt(keys.generate()) == [429]
    assert attempt(issued, 20) == [200] * 20


def test_invalid_issued_keys_do_not_block_legacy_keys(clock: Clock, settings: Any) -> None:
    settings.API_FAILED_RATE = "5/min"
    api_keys.import_key(LEGACY_KEY, "first web client", SYSTEM, all_hospitals=True)
    assert attempt(keys.generate(), 9)[-1] == 429
    assert attempt(LEGACY_KEY) == [200]


def test_each_network_is_counted_separately_behind_a_proxy(clock: Clock, settings: Any) -> None:
    settings.API_FAILED_RATE, settings.TRUSTED_PROXIES = "1/min", 1

    def last(address: str) -> int:
        return attempt(LEGACY_KEY, 1, **{"x-forwarded-for": f"9.9.9.9, {address}"})[0]

    assert [last(a) for a in ("192.0.2.1", "192.0.2.1", "192.0.2.2")] == [401, 429, 401]
    one_network = ("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:3::1")
    assert [last(address) for address in one_network] == [401, 429, 401]


def test_request_without_a_key_is_not_counted(clock: Clock, settings: Any, outsider: Api) -> None:
    settings.API_FAILED_RATE = "1/min"
    assert statuses(outsider, 3) == [401] * 3


# --- The counters


def window(limit: int, began_at: int = MINUTE) -> Window:
    return Window(began_at, began_at + 60, limit)


def test_database_leases_shrink_and_never_exceed_the_limit() -> None:
    counter = DatabaseStore()
    granted = [counter.reserve("a", window(1000)) for _ in range(1000)]
    assert granted[0] == Reservation(15, 15)
    assert granted[1] == Reservation(15, 30)
    assert sum(each.permits for each in granted) == 1000
    assert [each for each in granted if each.permits][-100:] == [Reservation(1, 901 + n) for n in range(100)]
    assert granted[-1] == Reservation(0, 1000)
    assert counter.reserve("b", window(1)) == Reservation(1, 1)
    assert counter.reserve("b", window(1)) == Reservation(0, 1)
    assert counter.reserve("a", window(1_000_000_000, MINUTE + 60)) == Reservation(15_625_000, 15_625_000)


def test_past_windows_are_deleted_by_the_counter_and_by_prune() -> None:
    clock = Clock()
    counter = DatabaseStore(clock)
    counter.reserve("old", window(1))
    clock.at += WINDOW_GRACE_SECONDS + 61
    counter.reserve("new", window(1, MINUTE + WINDOW_GRACE_SECONDS + 60))
    assert list(RateLimitCounter.objects.values_list("name", flat=True)) == ["new"]
    call_command("prune", "--dry-run", verbosity=0)
    assert RateLimitCounter.objects.exists()
    call_command("prune", verbosity=0)
    assert not RateLimitCounter.objects.exists()


class Broken:
    name = "Redis"

    def __init__(self, reservation: Reservation | None = None) -> None:
        self.reservation, self.calls = reservation, 0

    def reserve(self, name: str, window: Window, wanted: int = 1, share: int = BATCH_DIVISOR) -> Reservation:
        self.calls += 1
        if self.reservation is None:
            raise redis.ConnectionError("redis://:geheim@cache.example.org")
        return self.reservation

    def used(self, name: str, window: Window) -> int:
        return self.reserve(name, window).used


def test_failing_counter_is_skipped_for_some_seconds(caplog: pytest.LogCaptureFixture) -> None:
    clock, broken, second = Clock(), Broken(), Broken(Reservation(1, 1))
    counters: list[Any] = [broken, second]
    chain = FallbackStore(counters, clock)
    assert [chain.reserve("a", window(5)) for _ in range(10)] == [Reservation(1, 1)] * 10
    assert (broken.calls, second.calls) == (1, 10)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().endswith("Redis: ConnectionError. The database counts instead.")
    clock.at += BREAKER_SECONDS
    broken.reservation = Reservation(2, 2)
    assert chain.reserve("a", window(5)) == Reservation(2, 2)


def test_requests_are_admitted_without_a_working_counter(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(issue("app", rate="1/min").text)
    api.get("/api/devices")  # writes last_used_at of the key
    stores.limiter().leases.clear()
    monkeypatch.setattr(DatabaseStore, "SQL", "SELECT nothing")
    with transaction.atomic():
        savepoint = transaction.savepoint()
        with pytest.raises(StoreUnavailable):
            stores.limiter().store.reserve("a", window(1))
        transaction.savepoint_rollback(savepoint)
    assert statuses(api, 5) == [200] * 5
    [record] = caplog.records
    assert record.getMessage().endswith("Requests are allowed.")


@pytest.mark.django_db(transaction=True)
def test_read_only_database_admits_reads(caplog: pytest.LogCaptureFixture) -> None:
    api = Api(issue("app", rate="1/min").text)
    sqlite = connection.vendor == "sqlite"
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON" if sqlite else "SET default_transaction_read_only = on")
    assert statuses(api, 3) == [200] * 3
    assert api.post("/api/devices", device_payload(1)).status_code == 503
    connection.close()
    assert not Device.objects.exists()
    [message] = [record.getMessage() for record in caplog.records if record.name == "devices.ratelimit.stores"]
    assert message.endswith("Requests are allowed.")


def test_redis_failure_is_logged_without_the_password(caplog: pytest.LogCaptureFixture) -> None:
    chain = FallbackStore([RedisStore("redis://:geheim@127.0.0.1:1/0")])
    begin = time.monotonic()
    with pytest.raises(StoreUnavailable):
        chain.reserve("a", window(1))
    assert "Redis: ConnectionError. " in caplog.text
    assert "geheim" not in caplog.text
    assert time.monotonic() - begin < 10


def test_counter_does_not_change_the_busy_timeout_of_sqlite(db: None) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL waits in another way")
    DatabaseStore().reserve("a", window(1))
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        assert cursor.fetchone() == (5000,)


# --- Setting the rate


def test_rate_can_be_set_in_the_admin(operator: Client) -> None:
    fields = form(rate=" 600 /min")
    operator.post("/admin/devices/apikey/add/", fields)
    key = ApiKey.objects.get()
    assert key.rate == "600/min"
    assert "600/min" in operator.get(f"/admin/devices/apikey/{key.pk}/change/").content.decode()
    refused = operator.post("/admin/devices/apikey/add/", fields | {"rate": "often"})
    assert "This is not a valid rate" in refused.content.decode()
    operator.post("/admin/devices/apikey/add/", fields | {"name": "default", "rate": ""})
    assert ApiKey.objects.get(name="default").rate is None


def test_rate_can_be_set_by_the_command_and_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("create_api_key", "app", "--rate", "10/s")
    call_command("create_api_key", "other")
    assert list(ApiKey.objects.order_by("pk").values_list("rate", flat=True)) == ["10/s", None]
    call_command("list_api_keys")
    out = capsys.readouterr().out
    assert re.search(r"app .* 10/s ", out)
    assert re.search(r"other .* snake_case +\(default\) ", out)
    with pytest.raises(CommandError, match="This is not a valid rate"):
        call_command("create_api_key", "app", "--rate", "often")


def test_rotated_key_keeps_its_rate(db: None) -> None:
    assert api_keys.rotate(issue("app", rate="10/s").key, SYSTEM).key.rate == "10/s"
