"""Set the clock of the registry."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from devices import registry
from devices.history import recording
from devices.registry import hospitals

if TYPE_CHECKING:
    pass


def set_clock(patch: pytest.MonkeyPatch, now: Callable[[], datetime]) -> None:
    """Give the verbs, and the history that they write, another present."""
    for module in (registry.devices, recording, hospitals):
        patch.setattr(module, "now_ms", now)


@contextmanager
def days_ago(days: float) -> Iterator[None]:
    """Write history as of that time: the database lets nobody give it another date afterwards."""
    then = timezone.now() - timedelta(days=days)
    with pytest.MonkeyPatch.context() as patch:
        set_clock(patch, lambda: then)
        yield


MINUTE = 1_000_000_020


class Clock:
    def __init__(self) -> None:
        self.at = MINUTE + 15.0

    def __call__(self) -> float:
        return self.at
