"""How often a key may ask, and how many keys that are none an address may send."""

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
from devices.tests.support.api_keys import FIELD_KEY, mistype
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


def test_a_key_is_admitted_as_often_as_its_rate_says(clock: Clock) -> None:
    api = Api(issue("app", rate="3/min").text)
    assert statuses(api, 5) == [200] * 3 + [429] * 2
    assert statuses(Api(issue("another", rate="3/min").text), 1) == [200]
    clock.at += 45
    assert statuses(api, 4) == [200] * 3 + [429]


def test_a_refusal_is_an_envelope_and_says_when_to_come_back(clock: Clock) -> None:
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
        "message": "This API key has used up its 2/min. Ask again in 45 seconds.",
        "data": [],
        "errors": [
            {
                "field": None,
                "code": "too_many_requests",
                "message": "This API key has used up its 2/min. Ask again in 45 seconds.",
            }
        ],
    }
    indonesian = api.get("/api/devices", **{"accept-language": "id"}).json()["message"]
    assert indonesian == "Kunci API ini sudah mencapai batasnya, 2/min. Coba lagi dalam 45 detik."


def test_every_answer_tells_what_is_left_also_an_error_and_to_a_browser(clock: Clock) -> None:
    api = Api(issue("app", rate="100/min").text, origin="https://app.example.org")
    for method, path, body in [
        ("GET", "/api/device/9", None),
        ("GET", "/api/none", None),
        ("POST", "/api/devices", []),
    ]:
        assert '"default";r=' in api(method, path, body)["RateLimit"]
    posted = api.post("/api/devices", device_payload(1), **{"idempotency-key": "1"})
    again = api.post("/api/devices", device_payload(1), **{"idempotency-key": "1"})
    assert (posted["RateLimit"], again["RateLimit"]) == ('"default";r=96;t=45', '"default";r=95;t=45')
    exposed = posted["Access-Control-Expose-Headers"]
    assert {"ratelimit", "ratelimit-policy", "retry-after"} <= set(exposed.split(", "))
    tag = api.get("/api/devices")["ETag"]
    assert api.get("/api/devices", **{"if-none-match": tag})["RateLimit"] == '"default";r=93;t=45'


def test_a_write_that_is_refused_writes_nothing(clock: Clock) -> None:
    api = Api(issue("app", rate="1/h").text)
    assert api.post("/api/devices", device_payload(1)).status_code == 201
    assert api.post("/api/devices", device_payload(2)).status_code == 429
    assert api.delete("/api/device/1").status_code == 429
    assert len(Api(issue("other").text).get("/api/devices").json()["data"]) == 1


def test_the_default_applies_to_keys_without_a_rate_of_their_own(clock: Clock, settings: Any) -> None:
    settings.API_RATE = "2/min"
    assert statuses(Api(issue("app").text), 3) == [200, 200, 429]
    assert statuses(Api(issue("busy", rate="unlimited").text), 5) == [200] * 5
    assert statuses(Api(issue("own", rate="4/s").text), 5) == [200] * 4 + [429]


def test_a_leased_permit_takes_no_query(clock: Clock, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    api = Api(issue("app", rate="6000/min").text)
    register(device_payload(1))
    api.get("/api/devices")
    with django_assert_num_queries(2):  # the key, the list
        api.get("/api/devices")
    assert RateLimitCounter.objects.get().used == 6000 // 64


# --- Keys that are none


def attempt(key: str, times: int = 1, **headers: str) -> list[int]:
    return statuses(Api(key, **headers), times)


def test_an_address_that_sends_keys_that_are_none_is_told_to_stop(clock: Clock, settings: Any) -> None:
    settings.API_FAILED_RATE = "5/min"
    assert attempt(FIELD_KEY, 7) == [401] * 5 + [429] * 2
    response = Api(FIELD_KEY).get("/api/devices")
    assert (response["Retry-After"], errors(response)) == ("45", [(None, "too_many_requests")])
    assert response["RateLimit-Policy"] == '"failed-keys";q=5;w=60'
    clock.at += 45
    assert attempt(FIELD_KEY) == [401]


def test_beyond_it_a_key_that_can_be_guessed_opens_nothing_and_is_not_looked_up(clock: Clock, settings: Any) -> None:
    settings.API_FAILED_RATE = "5/min"
    api_keys.import_key(FIELD_KEY, "first web client", SYSTEM)
    attempt("guess-0123456789", 6)
    with CaptureQueriesContext(connection) as queries:
        assert attempt(FIELD_KEY) == [429]
    assert not [query for query in queries if ApiKey._meta.db_table in query["sql"]]
    clock.at += 45
    assert attempt(FIELD_KEY) == [200]


def test_beyond_it_keys_that_cannot_be_guessed_go_on(clock: Clock, settings: Any) -> None:
    settings.API_FAILED_RATE = "5/min"
    issued = issue("app").text
    attempt("guess-0123456789", 6)
    attempt(mistype(issued), 6)
    assert attempt(mistype(issued)) == attempt("guess-0123456789") == attempt(keys.generate()) == [429]
    assert attempt(issued, 20) == [200] * 20


def test_an_expired_key_that_goes_on_asking_stops_no_client_with_a_legacy_key(clock: Clock, settings: Any) -> None:
    settings.API_FAILED_RATE = "5/min"
    api_keys.import_key(FIELD_KEY, "first web client", SYSTEM)
    assert attempt(keys.generate(), 9)[-1] == 429
    assert attempt(FIELD_KEY) == [200]


def test_each_address_is_counted_by_itself_behind_a_proxy_too(clock: Clock, settings: Any) -> None:
    settings.API_FAILED_RATE, settings.TRUSTED_PROXIES = "1/min", 1

    def last(address: str) -> int:
        return attempt(FIELD_KEY, 1, **{"x-forwarded-for": f"9.9.9.9, {address}"})[0]

    assert [last(a) for a in ("192.0.2.1", "192.0.2.1", "192.0.2.2")] == [401, 429, 401]
    one_network = ("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:3::1")
    assert [last(address) for address in one_network] == [401, 429, 401]


def test_who_sends_no_key_tries_none(clock: Clock, settings: Any, outsider: Api) -> None:
    settings.API_FAILED_RATE = "1/min"
    assert statuses(outsider, 3) == [401] * 3


# --- The counters


def window(limit: int, began_at: int = MINUTE) -> Window:
    return Window(began_at, began_at + 60, limit)


def test_the_database_gives_leases_that_shrink_and_never_more_than_the_limit() -> None:
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


def test_windows_of_the_past_are_removed_by_whoever_counts_and_by_prune() -> None:
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

    def __init__(self, answer: Reservation | None = None) -> None:
        self.answer, self.calls = answer, 0

    def reserve(self, name: str, window: Window, wanted: int = 1, share: int = BATCH_DIVISOR) -> Reservation:
        self.calls += 1
        if self.answer is None:
            raise redis.ConnectionError("redis://:geheim@cache.example.org")
        return self.answer

    def used(self, name: str, window: Window) -> int:
        return self.reserve(name, window).used


def test_a_counter_that_fails_is_left_alone_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    clock, broken, second = Clock(), Broken(), Broken(Reservation(1, 1))
    chain = FallbackStore([broken, second], clock)
    assert [chain.reserve("a", window(5)) for _ in range(10)] == [Reservation(1, 1)] * 10
    assert (broken.calls, second.calls) == (1, 10)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().endswith("Redis: ConnectionError. The database counts instead.")
    clock.at += BREAKER_SECONDS
    broken.answer = Reservation(2, 2)
    assert chain.reserve("a", window(5)) == Reservation(2, 2)


def test_where_no_counter_counts_requests_are_admitted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(issue("app", rate="1/min").text)
    api.get("/api/devices")  # so that the key's use is noted
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
def test_a_database_that_takes_no_writes_admits_whoever_reads(caplog: pytest.LogCaptureFixture) -> None:
    api = Api(issue("app", rate="1/min").text)
    sqlite = connection.vendor == "sqlite"
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON" if sqlite else "SET default_transaction_read_only = on")
    assert statuses(api, 3) == [200] * 3
    assert api.post("/api/devices", device_payload(1)).status_code == 503
    connection.close()
    assert not Device.objects.exists()
    [told] = [record.getMessage() for record in caplog.records if record.name == "devices.ratelimit.stores"]
    assert told.endswith("Requests are allowed.")


def test_a_dead_redis_is_logged_without_its_password(caplog: pytest.LogCaptureFixture) -> None:
    chain = FallbackStore([RedisStore("redis://:geheim@127.0.0.1:1/0")])
    begin = time.monotonic()
    with pytest.raises(StoreUnavailable):
        chain.reserve("a", window(1))
    assert "Redis: ConnectionError. " in caplog.text
    assert "geheim" not in caplog.text
    assert time.monotonic() - begin < 10


def test_sqlite_waits_as_long_as_ever_after_a_count(db: None) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL waits in another way")
    DatabaseStore().reserve("a", window(1))
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        assert cursor.fetchone() == (5000,)


# --- What a key's rate is


def test_a_rate_is_given_in_the_admin(operator: Client) -> None:
    form = {"name": "ward app", "naming": "snake_case", "hospital": "", "value": "", "rate": " 600 /min"}
    operator.post("/admin/devices/apikey/add/", form)
    key = ApiKey.objects.get()
    assert key.rate == "600/min"
    assert "600/min" in operator.get(f"/admin/devices/apikey/{key.pk}/change/").content.decode()
    refused = operator.post("/admin/devices/apikey/add/", form | {"rate": "often"})
    assert "This is not a rate" in refused.content.decode()
    operator.post("/admin/devices/apikey/add/", form | {"name": "default", "rate": ""})
    assert ApiKey.objects.get(name="default").rate is None


def test_a_rate_is_given_by_the_command_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("create_api_key", "app", "--rate", "10/s")
    call_command("create_api_key", "other")
    assert list(ApiKey.objects.order_by("pk").values_list("rate", flat=True)) == ["10/s", None]
    call_command("list_api_keys")
    out = capsys.readouterr().out
    assert re.search(r"app .* 10/s +\d{4}", out)
    assert re.search(r"other .* \(default\) +\d{4}", out)
    with pytest.raises(CommandError, match="This is not a rate"):
        call_command("create_api_key", "app", "--rate", "often")


def test_a_rotated_key_keeps_its_rate(db: None) -> None:
    assert api_keys.rotate(issue("app", rate="10/s").key, SYSTEM).key.rate == "10/s"
