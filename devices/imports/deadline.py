"""Stop work that takes too much CPU time."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


class DeadlineExceeded(Exception):
    """The work has used up its CPU time."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A limit in seconds of CPU time, for the thread that creates it. Waiting for a busy CPU does not count."""

    seconds: float
    started: float = field(default_factory=time.thread_time)

    def check(self) -> None:
        if time.thread_time() - self.started > self.seconds:
            raise DeadlineExceeded

    def during(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items, and check before each hundredth one."""
        for count, item in enumerate(items):
            if not count % 100:
                self.check()
            yield item
