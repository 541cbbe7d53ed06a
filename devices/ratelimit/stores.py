"""Stores that count the permits of limiter.py for all processes: Redis if it is configured, else the database.

A failing store must not make requests fail. It is not called for some seconds, and the next store counts. If all stores
fail, requests are allowed (decision 13).
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import QuerySet
from redis.backoff import NoBackoff
from redis.retry import Retry

from devices.db.transactions import may_be_lost
from devices.models import RateLimitCounter
from devices.ratelimit.limiter import BATCH_DIVISOR, RateLimiter, Reservation, StoreUnavailable, Window, batch_size

BREAKER_SECONDS = 5.0  # after a failure, the store is not called for this time
FAILURES = redis.RedisError, OSError, DatabaseError
WINDOW_GRACE_SECONDS = 10 * 60  # a window is kept for this time after its end: another machine's clock may be late
CLEANUP_SECONDS = 10 * 60  # a process deletes expired windows at most once in this time

logger = logging.getLogger(__name__)

T = TypeVar("T")


class RedisStore:
    """Counts in Redis with a script, which Redis runs atomically. A window expires some time after its end."""

    SCRIPT = """
        local used = tonumber(redis.call('GET', KEYS[1]) or '0')
        local left = tonumber(ARGV[1]) - used
        if left <= 0 then return {0, used} end
        local permits = math.min(left, math.max(tonumber(ARGV[3]), math.floor(left / tonumber(ARGV[4]))))
        redis.call('INCRBY', KEYS[1], permits)
        redis.call('EXPIRE', KEYS[1], ARGV[2])
        return {permits, used + permits}
    """
    name = "Redis"

    def __init__(self, url: str) -> None:
        timeouts = {"socket_timeout": 0.25, "socket_connect_timeout": 0.25}  # seconds
        # One retry, because the server may have closed an idle connection.
        self.client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 1), **timeouts)
        self.script = self.client.register_script(self.SCRIPT)

    def reserve(self, name: str, window: Window, wanted: int = 1, share: int = BATCH_DIVISOR) -> Reservation:
        expires_in = window.ends_at - window.began_at + WINDOW_GRACE_SECONDS
        reservation: Any = self.script([_key(name, window)], [window.limit, expires_in, wanted, share])
        return Reservation(*reservation)

    def used(self, name: str, window: Window) -> int:
        used: Any = self.client.get(_key(name, window))
        return int(used or 0)


class DatabaseStore:
    """Counts in the database with a single statement.

    On SQLite, it waits for the write lock for a fifth of the usual time: most counted requests only read.
    """

    name = "The database"
    LEFT = "(%(limit)s - devices_ratelimitcounter.used)"
    LEASE = f"""CASE WHEN {LEFT} <= %(wanted)s THEN {LEFT}
                WHEN {LEFT} / %(share)s <= %(wanted)s THEN %(wanted)s ELSE {LEFT} / %(share)s END"""
    SQL = f"""
        INSERT INTO devices_ratelimitcounter (name, began_at, ends_at, used, leased)
        VALUES (%(name)s, %(began_at)s, %(ends_at)s, %(first)s, %(first)s)
        ON CONFLICT (name, began_at, ends_at) DO UPDATE SET
            leased = {LEASE}, used = devices_ratelimitcounter.used + {LEASE}
        WHERE devices_ratelimitcounter.used < %(limit)s
        RETURNING leased, used
    """  # noqa: S608  (of constants)

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.cleared_at = clock()

    def reserve(self, name: str, window: Window, wanted: int = 1, share: int = BATCH_DIVISOR) -> Reservation:
        first = batch_size(window.limit, wanted, share)
        values = window._asdict() | {"name": name, "wanted": wanted, "share": share, "first": first}
        with _short_lock_timeout(), may_be_lost(), connection.cursor() as cursor:
            cursor.execute(self.SQL, values)
            reservation = cursor.fetchone()
            if self.clock() - self.cleared_at > CLEANUP_SECONDS:
                self.cleared_at = self.clock()
                expired_windows(self.cleared_at).delete()
        return Reservation(*reservation) if reservation else Reservation(0, window.limit)

    def used(self, name: str, window: Window) -> int:
        counts = RateLimitCounter.objects.filter(name=name, began_at=window.began_at, ends_at=window.ends_at)
        return counts.values_list("used", flat=True).first() or 0


class FallbackStore:
    """Uses the first store that works. A store that has failed is not called for BREAKER_SECONDS."""

    def __init__(
        self, stores: Sequence[RedisStore | DatabaseStore], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stores = stores
        self.clock = clock
        self.paused_until = [clock()] * len(stores)

    def reserve(self, name: str, window: Window, wanted: int = 1, share: int = BATCH_DIVISOR) -> Reservation:
        return self._call(lambda store: store.reserve(name, window, wanted, share))

    def used(self, name: str, window: Window) -> int:
        return self._call(lambda store: store.used(name, window))

    def _call(self, call: Callable[[RedisStore | DatabaseStore], T]) -> T:
        for number, store in enumerate(self.stores):
            if self.clock() < self.paused_until[number]:
                continue
            try:
                return call(store)
            except FAILURES as error:
                self.paused_until[number] = self.clock() + BREAKER_SECONDS
                cause = f"{store.name}: {type(error).__name__}"  # the message may have a password
                result = "The database counts instead." if self.stores[number + 1 :] else "Requests are allowed."
                logger.warning("Requests cannot be counted. %s. %s", cause, result)
        raise StoreUnavailable


@cache
def limiter() -> RateLimiter:
    """Return the rate limiter of this process."""
    redis_stores = [RedisStore(settings.REDIS_URL)] if settings.REDIS_URL else []
    return RateLimiter(FallbackStore([*redis_stores, DatabaseStore()]))


def expired_windows(now: float) -> QuerySet[RateLimitCounter]:
    """Return the counters that can be deleted at this time, in seconds since 1970 UTC."""
    return RateLimitCounter.objects.filter(ends_at__lt=int(now) - WINDOW_GRACE_SECONDS)


def _key(name: str, window: Window) -> str:
    return f"registry:permits:{name}:{window.began_at}:{window.ends_at}"


@contextmanager
def _short_lock_timeout() -> Iterator[None]:
    """Shorten the time that SQLite waits for the write lock. On PostgreSQL this does nothing."""
    if connection.vendor != "sqlite":
        yield
        return
    timeout = settings.DATABASE_LOCK_TIMEOUT * 1000  # milliseconds
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA busy_timeout = {timeout // 5}")
        try:
            yield
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {timeout}")
