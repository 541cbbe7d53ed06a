"""Long polling: wait for new changes without keeping a database connection.

gunicorn has at least two threads more than requests may wait (FEED_WAITERS). A request beyond
that number gets its response at once, and so does one beyond its key's share (FEED_WAITERS_PER_KEY).
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

POLL_INTERVAL = 0.5  # seconds; one of the requests that wait in a process looks for all of them


def is_shutting_down() -> bool:
    """Return whether this process is about to stop. gunicorn.conf.py replaces it in each worker."""
    return False


class Slots:
    """The requests that wait in this process, in all and of one key."""

    def __init__(self, total: int, per_key: int) -> None:
        self.total, self.per_key = total, per_key
        self.taken: Counter[int] = Counter()  # by the key's id
        self.lock = threading.Lock()

    @contextmanager
    def take(self, key_id: int) -> Iterator[bool]:
        """Take a place, if one is free, and say whether it was."""
        with self.lock:
            is_free = self.taken.total() < self.total and self.taken[key_id] < self.per_key
            self.taken[key_id] += is_free
        try:
            yield is_free
        finally:
            with self.lock:
                self.taken -= Counter({key_id: int(is_free)})  # this drops zeros


_slots = Slots(settings.FEED_WAITERS, settings.FEED_WAITERS_PER_KEY)
_looking = threading.Lock()
_seen, _seen_at = 0, -POLL_INTERVAL


def wait_for_changes(key_id: int, read: Callable[[int], Page], page: Page, seconds: float) -> Page:
    """Return what `read` finds after an empty page as soon as it finds any, or an empty page after these seconds.

    1. Take one of the key's places. If none is free, return the page.
    2. Close the connection, and sleep.
    3. Read only if there is any new change.
    """
    end = time.monotonic() + seconds
    with _slots.take(key_id) as is_free:
        while is_free and not page.events and (left := end - time.monotonic()) > 0:
            _give_back_connection()
            time.sleep(min(POLL_INTERVAL, left))
            if is_shutting_down():
                break
            if _watermark() > page.end:
                page = read(page.end)
    return page


def _watermark() -> int:
    """Return the position up to which changes are settled, as of half a second ago at most."""
    global _seen, _seen_at
    with _looking:
        if time.monotonic() - _seen_at >= POLL_INTERVAL:
            _seen, _seen_at = feed.stable_watermark(), time.monotonic()
        return _seen


def _give_back_connection() -> None:
    if not connection.in_atomic_block:  # as in a test
        connection.close()
