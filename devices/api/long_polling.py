"""Long polling: wait for new changes without a database connection.

gunicorn has at least two threads more than the number of requests that can wait (FEED_WAITERS). A request above this
number, or above the number for its key (FEED_WAITERS_PER_KEY), does not wait.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection

from devices.history import feed
from devices.history.feed import Page

POLL_INTERVAL = 0.5  # seconds; one waiting request of the process queries the database for all of them


def is_shutting_down() -> bool:
    """Return whether this process is shutting down. gunicorn.conf.py replaces this function in each worker."""
    return False


class Slots:
    """Counts the waiting requests of this process, in total and for each key."""

    def __init__(self, total: int, per_key: int) -> None:
        self.total, self.per_key = total, per_key
        self.taken: Counter[int] = Counter()  # by the key's id
        self.lock = threading.Lock()

    @contextmanager
    def take(self, key_id: int) -> Iterator[bool]:
        """Take a slot if one is free, and release it at the end. The value says whether one was free."""
        with self.lock:
            is_free = self.taken.total() < self.total and self.taken[key_id] < self.per_key
            self.taken[key_id] += is_free
        try:
            yield is_free
        finally:
            with self.lock:
                self.taken -= Counter({key_id: int(is_free)})  # this drops zeros

    def number_taken(self) -> int:
        """Return the number of waiting requests."""
        with self.lock:
            return self.taken.total()


_slots = Slots(settings.FEED_WAITERS, settings.FEED_WAITERS_PER_KEY)
_watermark_lock = threading.Lock()
_cached_watermark, _cached_at = 0, -POLL_INTERVAL


def waiting() -> int:
    """Return the number of waiting requests of this process."""
    return _slots.number_taken()


def wait_for_changes(key_id: int, read: Callable[[int], Page], page: Page, seconds: float) -> Page:
    """Return the first page after `page` that has events, or an empty page after this number of seconds.

    1. Take a slot of the key. If none is free, return `page`.
    2. Close the database connection, and sleep.
    3. Call `read` only if there is a new change.
    """
    end = time.monotonic() + seconds
    with _slots.take(key_id) as is_free:
        while is_free and not page.events and (left := end - time.monotonic()) > 0:
            _release_connection()
            time.sleep(min(POLL_INTERVAL, left))
            if is_shutting_down():
                break
            if _watermark() > page.end:
                page = read(page.end)
    return page


def _watermark() -> int:
    """Return the stable watermark of the feed. It is up to half a second old."""
    global _cached_watermark, _cached_at
    with _watermark_lock:
        if time.monotonic() - _cached_at >= POLL_INTERVAL:
            _cached_watermark, _cached_at = feed.stable_watermark(), time.monotonic()
        return _cached_watermark


def _release_connection() -> None:
    if not connection.in_atomic_block:  # in a test
        connection.close()
