"""Long polling: wait for new changes without keeping a database connection.

gunicorn has a thread for each request that may wait (FEED_WAITERS), besides those for other requests. A request beyond
that number gets its response at once.
"""

import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.db import connection

from devices import feed
from devices.feed import Page

LOOK_EVERY = 0.5  # seconds; one of those that wait in a process looks for all of them


def is_stopping() -> bool:
    """Return whether this process is about to stop. gunicorn.conf.py replaces it in each worker."""
    return False


_places = threading.BoundedSemaphore(settings.FEED_WAITERS)
_looking = threading.Lock()
_seen, _seen_at = 0, -LOOK_EVERY


def until_there_is_something(read: Callable[[int], Page], page: Page, seconds: float) -> Page:
    """Return what `read` finds behind an empty page as soon as it finds any, or an empty page when the time is over.

    1. Take a place; if none is free, return the page as it is.
    2. Give back the connection, and sleep.
    3. Look whether anything at all has changed, and only then read.
    """
    if not _places.acquire(blocking=False):
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
        _places.release()
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
