"""Where the permits of leases.py are counted: in Redis where there is one, else in the database.

A registry of devices must not be stopped by its counter. One that fails is left alone for some seconds and the next
one counts; where none can, the request is admitted (decision 13). Attempts at passwords and codes are then counted by
each process alone: see `leases.Leases.take`.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from redis.backoff import NoBackoff
from redis.retry import Retry

from devices.leases import SHARE, Granted, Leases, Window, lease_of
from devices.models import PermitCount

LEFT_ALONE = 5.0  # seconds, after a failure
KEPT = 10 * 60  # seconds after its end that a window is kept: another machine's clock may be late
CLEARED_EVERY = 10 * 60  # seconds

logger = logging.getLogger(__name__)

T = TypeVar("T")


class CountingFailed(Exception):
    """This counter cannot count just now. Its message tells why, and no password."""


class Backend(Protocol):
    def lease(self, name: str, window: Window, wanted: int = 1, *, exactly: bool = False) -> Granted:
        """Use up permits, as `leases.Counter` says; with `exactly` no share, only as many as are wanted.

        Raises:
            CountingFailed: ask another one.
        """

    def used(self, name: str, window: Window) -> int:
        """Return how many are used up.

        Raises:
            CountingFailed: ask another one.
        """


class RedisCounter:
    """Counts in Redis, in one step: a script runs there alone. A window's key ends some time after the window."""

    SCRIPT = """
        local used = tonumber(redis.call('GET', KEYS[1]) or '0')
        local left = tonumber(ARGV[1]) - used
        if left <= 0 then return {0, used} end
        local permits = math.min(left, math.max(tonumber(ARGV[4]), math.floor(left / tonumber(ARGV[3]))))
        redis.call('INCRBY', KEYS[1], permits)
        if used == 0 then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
        return {permits, used + permits}
    """
    PATIENCE = 0.25  # seconds

    def __init__(self, url: str) -> None:
        patience = {"socket_timeout": self.PATIENCE, "socket_connect_timeout": self.PATIENCE}
        # Once more, since a connection that is kept may have been closed meanwhile.
        client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 1), **patience)
        self.client = client
        self.script = client.register_script(self.SCRIPT)
        self.place = urlsplit(url).hostname or "a socket"

    def lease(self, name: str, window: Window, wanted: int = 1, *, exactly: bool = False) -> Granted:
        share = _share(window, exactly)
        with self._counting():
            permits, used = self.script([_key(name, window)], [window.limit, window.seconds + KEPT, share, wanted])
        return Granted(int(permits), int(used))

    def used(self, name: str, window: Window) -> int:
        with self._counting():
            used: Any = self.client.get(_key(name, window))
        return int(used or 0)

    @contextmanager
    def _counting(self) -> Iterator[None]:
        try:
            yield
        except (redis.RedisError, OSError) as error:
            raise CountingFailed(f"Redis at {self.place}: {type(error).__name__}") from error


class DatabaseCounter:
    """Counts in the database, in one statement.

    SQLite has one writer at a time. For a count it is waited for a fifth as long as for a write: most of those who are
    counted only want to read, and an import may hold up writers for longer.
    """

    LEFT = "(%(limit)s - devices_permitcount.used)"
    LEASE = f"""CASE WHEN {LEFT} <= %(wanted)s THEN {LEFT}
                WHEN {LEFT} / %(share)s <= %(wanted)s THEN %(wanted)s ELSE {LEFT} / %(share)s END"""
    SQL = f"""
        INSERT INTO devices_permitcount (name, began_at, ends_at, used, leased)
        VALUES (%(name)s, %(began_at)s, %(ends_at)s, %(first)s, %(first)s)
        ON CONFLICT (name, began_at, ends_at) DO UPDATE SET
            leased = {LEASE}, used = devices_permitcount.used + {LEASE}
        WHERE devices_permitcount.used < %(limit)s
        RETURNING leased, used
    """  # noqa: S608  (of constants)

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.cleared_at = clock()

    def lease(self, name: str, window: Window, wanted: int = 1, *, exactly: bool = False) -> Granted:
        share = _share(window, exactly)
        row: dict[str, Any] = {"name": name, "began_at": window.began_at, "ends_at": window.ends_at}
        numbers = {"limit": window.limit, "wanted": wanted, "share": share}
        numbers["first"] = lease_of(window.limit, wanted, share)
        try:
            with self._in_a_hurry(), connection.cursor() as cursor:
                cursor.execute(self.SQL, row | numbers)
                granted = cursor.fetchone()
                self._clear()
        except DatabaseError as error:
            raise CountingFailed(f"The database: {type(error).__name__}") from error
        return Granted(*granted) if granted else Granted(0, window.limit)

    def used(self, name: str, window: Window) -> int:
        counts = PermitCount.objects.filter(name=name, began_at=window.began_at, ends_at=window.ends_at)
        try:
            return counts.values_list("used", flat=True).first() or 0
        except DatabaseError as error:
            raise CountingFailed(f"The database: {type(error).__name__}") from error

    def _clear(self) -> None:
        """Remove the windows of the past now and then, each process for itself."""
        if self.clock() - self.cleared_at > CLEARED_EVERY:
            self.cleared_at = self.clock()
            remove_past_windows(self.cleared_at)

    @contextmanager
    def _in_a_hurry(self) -> Iterator[None]:
        if connection.vendor != "sqlite":
            yield
            return
        patience = settings.DATABASE_LOCK_TIMEOUT * 1000  # milliseconds
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {patience // 5}")
            try:
                yield
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {patience}")


class FirstThatCounts:
    """The counters in their order. One that has failed is passed over for some seconds, so that nobody waits for it."""

    def __init__(self, counters: Sequence[Backend], clock: Callable[[], float] = time.monotonic) -> None:
        self.counters = counters
        self.clock = clock
        self.passed_over_until = [clock()] * len(counters)

    def lease(self, name: str, window: Window, wanted: int = 1, *, exactly: bool = False) -> Granted | None:
        return self._first(lambda counter: counter.lease(name, window, wanted, exactly=exactly))

    def used(self, name: str, window: Window) -> int | None:
        return self._first(lambda counter: counter.used(name, window))

    def _first(self, ask: Callable[[Backend], T]) -> T | None:
        for place, counter in enumerate(self.counters):
            if self.clock() < self.passed_over_until[place]:
                continue
            try:
                return ask(counter)
            except CountingFailed as failed:
                self.passed_over_until[place] = self.clock() + LEFT_ALONE
                rest = "The database counts instead." if self.counters[place + 1 :] else "Requests are admitted."
                logger.warning("The rates of requests cannot be counted. %s. %s", failed, rest)
        return None


def _key(name: str, window: Window) -> str:
    return f"registry:permits:{name}:{window.seconds}:{window.began_at}"


def _share(window: Window, exactly: bool) -> int:
    return window.limit + 1 if exactly else SHARE


@cache
def shared() -> FirstThatCounts:
    """Return the counters of the settings."""
    counters: list[Any] = [RedisCounter(settings.REDIS_URL)] if settings.REDIS_URL else []
    return FirstThatCounts([*counters, DatabaseCounter()])


@cache
def leases() -> Leases:
    """Return the permits that this process has leased."""
    return Leases(shared())


def remove_past_windows(now: float) -> int:
    count, _by_model = PermitCount.objects.filter(ends_at__lt=int(now) - KEPT).delete()
    return int(count)
