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
    began: float = field(default_factory=time.thread_time)

    def check(self) -> None:
        if time.thread_time() - self.began > self.seconds:
            raise DeadlineExceeded

    def during(self, things: Iterable[T]) -> Iterator[T]:
        """Yield the things, and check before every hundredth."""
        for count, thing in enumerate(things):
            if not count % 100:
                self.check()
            yield thing
