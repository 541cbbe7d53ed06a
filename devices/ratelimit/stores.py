"""Count the permits of limiter.py for all processes: in Redis if there is one, else in the database.

A counter that fails must not stop the registry: it is not called for some seconds, and the next one counts. Without
one, requests are admitted (decision 13).
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

from devices.models import RateLimitCounter
from devices.ratelimit.limiter import BATCH_DIVISOR, RateLimiter, Reservation, StoreUnavailable, Window, batch_size

BREAKER_SECONDS = 5.0  # seconds without a call after a failure
FAILURES = redis.RedisError, OSError, DatabaseError
WINDOW_GRACE_SECONDS = 10 * 60  # seconds after its end that a window is kept: the clock of another machine may be late
CLEANUP_SECONDS = 10 * 60  # seconds

logger = logging.getLogger(__name__)

T = TypeVar("T")


class RedisStore:
    """Counts in Redis, by a script, which Redis runs as one step. A window's key expires some time after the window."""

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
        # One retry, since an idle connection may have been closed.
        self.client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 1), **timeouts)
        self.script = self.client.register_script(self.SCRIPT)

    def reserve(self, name: str, window: Window, wanted: int = 1, share: int = BATCH_DIVISOR) -> Reservation:
        kept = window.ends_at - window.began_at + WINDOW_GRACE_SECONDS
        granted: Any = self.script([_key(name, window)], [window.limit, kept, wanted, share])
        return Reservation(*granted)

    def used(self, name: str, window: Window) -> int:
        used: Any = self.client.get(_key(name, window))
        return int(used or 0)


class DatabaseStore:
    """Counts in the database, in one statement.

    A count waits for SQLite's write lock a fifth as long as a write does: most requests that are counted only read.
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
        with _short_lock_timeout(), connection.cursor() as cursor:
            cursor.execute(self.SQL, values)
            granted = cursor.fetchone()
            if self.clock() - self.cleared_at > CLEANUP_SECONDS:
                self.cleared_at = self.clock()
                expired_windows(self.cleared_at).delete()
        return Reservation(*granted) if granted else Reservation(0, window.limit)

    def used(self, name: str, window: Window) -> int:
        counts = RateLimitCounter.objects.filter(name=name, began_at=window.began_at, ends_at=window.ends_at)
        return counts.values_list("used", flat=True).first() or 0


class FallbackStore:
    """The first of several counters that works. One that has failed is not called for some seconds."""

    def __init__(
        self, stores: Sequence[RedisStore | DatabaseStore], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stores = stores
        self.clock = clock
        self.paused_until = [clock()] * len(stores)

    def reserve(self, name: str, window: Window, wanted: int = 1, share: int = BATCH_DIVISOR) -> Reservation:
        return self._first(lambda store: store.reserve(name, window, wanted, share))

    def used(self, name: str, window: Window) -> int:
        return self._first(lambda store: store.used(name, window))

    def _first(self, call: Callable[[RedisStore | DatabaseStore], T]) -> T:
        for number, store in enumerate(self.stores):
            if self.clock() < self.paused_until[number]:
                continue
            try:
                return call(store)
            except FAILURES as error:
                self.paused_until[number] = self.clock() + BREAKER_SECONDS
                cause = f"{store.name}: {type(error).__name__}"  # the message may have a password
                rest = "The database counts instead." if self.stores[number + 1 :] else "Requests are admitted."
                logger.warning("The rates of requests cannot be counted. %s. %s", cause, rest)
        raise StoreUnavailable


@cache
def limiter() -> RateLimiter:
    """Return the permits that this process has leased."""
    redis_stores = [RedisStore(settings.REDIS_URL)] if settings.REDIS_URL else []
    return RateLimiter(FallbackStore([*redis_stores, DatabaseStore()]))


def expired_windows(now: float) -> QuerySet[RateLimitCounter]:
    return RateLimitCounter.objects.filter(ends_at__lt=int(now) - WINDOW_GRACE_SECONDS)


def _key(name: str, window: Window) -> str:
    return f"registry:permits:{name}:{window.began_at}:{window.ends_at}"


@contextmanager
def _short_lock_timeout() -> Iterator[None]:
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
