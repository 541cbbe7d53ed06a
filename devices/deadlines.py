"""Stop work that takes too much of the processor."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


class Overdue(Exception):
    """The work has taken as much time of the processor as it may."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """So many seconds of the processor, for the thread that makes it. A busy machine takes nothing from them."""

    seconds: float
    began: float = field(default_factory=time.thread_time)

    def check(self) -> None:
        if time.thread_time() - self.began > self.seconds:
            raise Overdue

    def during(self, things: Iterable[T]) -> Iterator[T]:
        """Give the things, and check before every hundredth."""
        for count, thing in enumerate(things):
            if not count % 100:
                self.check()
            yield thing
