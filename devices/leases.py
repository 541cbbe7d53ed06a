"""Admit so many and not one more in each window of time, over all processes and machines, at little cost to each.

A counter that all share is asked for permits, not once a request but for a lease of several: a 64th of what is left,
and at the end one at a time. So no more than the limit are ever admitted, the last permits go to whoever comes, and
most requests are admitted by their own process, without asking anybody. What a process has leased and does not use
before the window ends is lost: a 64th of the limit at most for each lease, and nothing at all below 128 permits.

Windows are those of the clock: each begins at a whole multiple of its length since 1970.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from devices.rates import Rate

SHARE = 64  # of what is left, this part is leased at a time
REMEMBERED = 10_000  # names that a process remembers before it forgets those whose window is over


class Granted(NamedTuple):
    """What a counter gives: so many permits, and so many used up by everybody, these included."""

    permits: int
    used: int


class Counter(Protocol):
    """What all processes share: how many permits of a name and a window are used up."""

    def lease(self, name: str, window: "Window", wanted: int = 1) -> Granted | None:
        """Use up permits in one atomic step: `lease_of` what is left, 0 if none are left.

        None: nobody can be asked just now.
        """


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch of time from `began_at`, in seconds since 1970 UTC, in which `limit` are admitted."""

    began_at: int
    seconds: int
    limit: int

    @property
    def ends_at(self) -> int:
        return self.began_at + self.seconds


class Verdict(NamedTuple):
    """May it pass, how many more may as far as this process knows, and in how many seconds the window ends."""

    admitted: bool
    remaining: int
    ends_in: int


@dataclass(slots=True)
class _Lease:
    window: Window
    permits: int = 0  # of ours
    left: int = 0  # to anybody, as we were told last
    owed: int = 0  # counted by this process alone, and not by the counter yet


def lease_of(left: int, wanted: int = 1, share: int = SHARE) -> int:
    """Return how many permits are leased: a share of what is left, or as many as wanted, but no more than are left."""
    return min(left, max(wanted, left // share)) if left > 0 else 0


class Leases:
    """The permits that one process has leased. Any of its threads may call it at any time."""

    def __init__(self, counter: Counter, clock: Callable[[], float] = time.time) -> None:
        self.counter = counter
        self.clock = clock
        self.lock = threading.Lock()
        self.leases: dict[str, _Lease] = {}

    def take(self, name: str, rate: Rate, permits: int = 1, *, strict: bool = False) -> Verdict:
        """Use up permits, or the rest if fewer are left. Admit the request if there was at least one.

        1. If this process has enough, take them. If it knows that no more are left, take what it has.
        2. Otherwise lease the missing ones while other threads go on. Two threads may lease at the same time.
        3. If the counter fails, admit the request. If `strict`, count it in this process alone, and admit no more than
           were left. The counter is told of them when it counts again.
        """
        now = self.clock()
        window = window_of(rate, now)
        ends_in = _ends_in(window, now)
        with self.lock:
            lease = self._lease(name, window)
            if lease.permits >= permits or not lease.left:
                return _use(lease, permits, ends_in)
            missing = permits - lease.permits
            owed, lease.owed = lease.owed, 0
        granted = self.counter.lease(name, window, missing + owed)
        with self.lock:
            if granted is None:
                lease.owed += owed
                return _use_alone(lease, missing, ends_in) if strict else Verdict(True, lease.left, ends_in)
            lease.left = max(0, window.limit - granted.used)
            lease.permits += max(0, granted.permits - owed)
            return _use(lease, permits, ends_in)

    def refusal(self, name: str, rate: Rate) -> Verdict | None:
        """Return the verdict if this process has been told that no permits are left, else None; use none up."""
        now = self.clock()
        window = window_of(rate, now)
        with self.lock:
            lease = self.leases.get(name)
            if lease is None or lease.window != window or lease.permits or lease.left:
                return None
        return Verdict(False, 0, _ends_in(window, now))

    def forget(self) -> None:
        with self.lock:
            self.leases.clear()

    def _lease(self, name: str, window: Window) -> _Lease:
        """Return what we have of the window; call it with the lock."""
        lease = self.leases.get(name)
        if lease is None or lease.window != window:
            if len(self.leases) >= REMEMBERED:
                self._forget_the_past(window.began_at)
            lease = self.leases[name] = _Lease(window, left=window.limit)
        return lease

    def _forget_the_past(self, now: int) -> None:
        self.leases = {name: lease for name, lease in self.leases.items() if lease.window.ends_at > now}
        if len(self.leases) >= REMEMBERED:  # the counter knows the others, and is asked again
            self.leases = {name: lease for name, lease in self.leases.items() if lease.owed}


def _use(lease: _Lease, permits: int, ends_in: int) -> Verdict:
    """Take permits from the lease, or the rest of it; call it with the lock."""
    used = min(lease.permits, permits)
    lease.permits -= used
    return Verdict(used > 0, lease.left + lease.permits, ends_in)


def _use_alone(lease: _Lease, permits: int, ends_in: int) -> Verdict:
    """Count permits in this process, or the rest that is left to anybody; call it with the lock."""
    used = min(lease.left, permits)
    lease.left -= used
    lease.owed += used
    return Verdict(used > 0, lease.left, ends_in)


def window_of(rate: Rate, now: float) -> Window:
    return Window(int(now // rate.seconds) * rate.seconds, rate.seconds, rate.number)


def _ends_in(window: Window, now: float) -> int:
    return max(1, math.ceil(window.ends_at - now))
