"""Long polling: wait for new changes without keeping a database connection.

gunicorn has a thread for each request that may wait (FEED_WAITERS), besides those for other requests. A request beyond
that number gets its response at once, and so does one beyond its key's share (FEED_WAITERS_PER_KEY).
"""

import threading
import time
from collections import Counter
from collections.abc import Callable

from django.conf import settings
from django.db import connection

from devices import feed
from devices.feed import Page

LOOK_EVERY = 0.5  # seconds; one of those that wait in a process looks for all of them


def is_stopping() -> bool:
    """Return whether this process is about to stop. gunicorn.conf.py replaces it in each worker."""
    return False


class Places:
    """The requests that wait in this process. One key may have a few of them."""

    def __init__(self, total: int, per_key: int) -> None:
        self._total, self._per_key = total, per_key
        self._taken: Counter[int] = Counter()  # by the key's id
        self._lock = threading.Lock()

    def take(self, key_id: int) -> bool:
        """Take a place for a request with this key; return whether one was free."""
        with self._lock:
            if self._taken.total() >= self._total or self._taken[key_id] >= self._per_key:
                return False
            self._taken[key_id] += 1
            return True

    def give_back(self, key_id: int) -> None:
        with self._lock:
            self._taken[key_id] -= 1
            if not self._taken[key_id]:
                del self._taken[key_id]


_places = Places(settings.FEED_WAITERS, settings.FEED_WAITERS_PER_KEY)
_looking = threading.Lock()
_seen, _seen_at = 0, -LOOK_EVERY


def until_there_is_something(key_id: int, read: Callable[[int], Page], page: Page, seconds: float) -> Page:
    """Return what `read` finds behind an empty page as soon as it finds any, or an empty page when the time is over.

    1. Take a place of the key's; if none is free, return the page as it is.
    2. Give back the connection, and sleep.
    3. Look whether anything at all has changed, and only then read.
    """
    if not _places.take(key_id):
        return page
    try:
        end = time.monotonic() + seconds
        while not page.events and (left := end - time.monotonic()) > 0:
            _give_back_connection()
            time.sleep(min(LOOK_EVERY, left))
            if is_stopping():
                break
            if _settled() > page.end:
                page = read(page.end)
    finally:
        _places.give_back(key_id)
    return page


def _settled() -> int:
    """Return how far the changes are settled, as of half a second ago at most."""
    global _seen, _seen_at
    with _looking:
        if time.monotonic() - _seen_at >= LOOK_EVERY:
            _seen, _seen_at = feed.settled(), time.monotonic()
        return _seen


def _give_back_connection() -> None:
    if not connection.in_atomic_block:  # as in a test
        connection.close()
