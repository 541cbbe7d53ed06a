"""Clocks that tests can set."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from devices import registry
from devices.history import recording
from devices.registry import hospitals


def set_clock(patch: pytest.MonkeyPatch, now: Callable[[], datetime]) -> None:
    """Set the clock of the functions that write devices, hospitals and their history."""
    for module in (registry.devices, recording, hospitals):
        patch.setattr(module, "now_ms", now)


@contextmanager
def days_ago(days: float) -> Iterator[None]:
    """Record changes with an earlier date. The database rejects a change of the date afterwards."""
    then = timezone.now() - timedelta(days=days)
    with pytest.MonkeyPatch.context() as patch:
        set_clock(patch, lambda: then)
        yield


MINUTE = 1_000_000_020  # seconds since 1970 UTC: the beginning of a minute


class Clock:
    """A clock for the rate limiter. A test sets it with `at`."""

    def __init__(self) -> None:
        self.at = MINUTE + 15.0

    def __call__(self) -> float:
        return self.at
