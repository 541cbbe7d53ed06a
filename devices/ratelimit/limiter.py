"""Admit exactly as many as a rate allows, over all processes and machines, and ask the shared counter rarely.

A process leases permits from the counter: a 64th of those left, and one at a time when fewer than 128 are left. So most
requests find a permit in their own process, and never more than the limit pass. A process loses the permits that it has
leased and not used when the window ends: at most a 64th of the limit for each lease.

Windows are fixed: each begins at a whole multiple of its length since 1970.
"""

import math
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

from devices.values.rates import Rate

BATCH_DIVISOR = 64  # a lease is this part of the permits left
MAX_NAMES = 10_000  # names that a process remembers, and items of a name

Item = TypeVar("Item", bound=Hashable)


class StoreUnavailable(Exception):
    """No counter can count now."""


class Window(NamedTuple):
    """The time, in seconds since 1970 UTC, in which `limit` permits are given."""

    began_at: int
    ends_at: int
    limit: int

    def ends_in(self, now: float) -> int:
        return max(1, math.ceil(self.ends_at - now))


class Reservation(NamedTuple):
    """How many permits a counter gave, and how many are used in all processes, these included."""

    permits: int
    used: int


class Store(Protocol):
    """Counts the used permits of a name and a window, for all processes. Both methods may raise StoreUnavailable."""

    def reserve(self, name: str, window: Window, wanted: int = 1, share: int = BATCH_DIVISOR) -> Reservation:
        """Use up `lease_of` the permits left, in one atomic step."""

    def used(self, name: str, window: Window) -> int:
        """Return how many permits are used."""


class Decision(NamedTuple):
    """Whether a request is admitted, how many permits are left, and in how many seconds the window ends."""

    admitted: bool
    remaining: int
    ends_in: int


@dataclass(slots=True)
class _Lease:
    """What a process has and knows of a window. Call the methods with the lock."""

    window: Window
    left: int  # to all processes, as far as this one knows
    permits: int = 0  # leased, and not used yet
    owed: int = 0  # used, and not written to the counter yet
    items: set[int] = field(default_factory=set)  # hashes of what `acquire_items` has counted

    def use(self, permits: int, now: float) -> Decision:
        """Use permits of this process, or the rest of them."""
        used = min(self.permits, permits)
        self.permits -= used
        return self.decide(used > 0, now)

    def owe(self, permits: int) -> bool:
        """Use permits without the counter, or the rest of them. Return whether there was one."""
        used = min(self.left, permits)
        self.left -= used
        self.owed += used
        return used > 0

    def decide(self, admitted: bool, now: float) -> Decision:
        return Decision(admitted, self.left + self.permits, self.window.ends_in(now))

    def learn(self, used: int) -> None:
        self.left = min(self.left, max(0, self.window.limit - used - self.owed))


def batch_size(left: int, wanted: int = 1, share: int = BATCH_DIVISOR) -> int:
    """Return how many permits are leased: a share of those left, or as many as wanted, but no more than are left."""
    return min(left, max(wanted, left // share))


class RateLimiter:
    """The permits that one process has leased. Its threads may call it at any time."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self.clock = clock
        self.lock = threading.Lock()
        self.leases: dict[str, _Lease] = {}

    def acquire(self, name: str, rate: Rate, permits: int = 1, *, strict: bool = False) -> Decision:
        """Use up permits, or the rest if fewer are left. Admit the request if there was at least one.

        1. If this process has enough, use them. If it knows that no more are left, use what it has.
        2. Otherwise lease the missing ones while other threads go on. Two threads may lease at the same time.
        3. If the counter fails, admit the request. If `strict`, count it in this process alone and admit no more than
           were left. The counter is told of them when it counts again.
        """
        now = self.clock()
        with self.lock:
            lease = self._lease(name, rate, now)
            if lease.permits >= permits or not lease.left:
                return lease.use(permits, now)
            missing = permits - lease.permits
        granted = self._ask(name, lease, missing)
        with self.lock:
            if granted is None:
                return lease.decide(not strict or lease.owe(missing), now)
            lease.permits += granted
            return lease.use(permits, now)

    def peek_exhausted(self, name: str, rate: Rate) -> Decision | None:
        """Return a refusal if this process knows that no permits are left, else None. Use none up."""
        now = self.clock()
        with self.lock:
            lease = self._known(name, rate, now)
            return lease.decide(False, now) if lease and not lease.permits and not lease.left else None

    def acquire_items(self, name: str, rate: Rate, items: Sequence[Item]) -> tuple[set[Item], int | None]:
        """Use up a permit for each item that is new in this window, in this process; `flush` reports them.

        Return the items that were admitted now or before, and after how many no permit was left (None: some are).
        """
        lease, admitted, end = self._read(name, rate), set[Item](), 0
        with self.lock:
            for place, item in enumerate(items, start=1):
                if hash(item) not in lease.items:
                    if not lease.owe(1):
                        continue
                    end = place
                    if len(lease.items) < MAX_NAMES:
                        lease.items.add(hash(item))
                admitted.add(item)
            return admitted, None if lease.left else end

    def flush(self, name: str, rate: Rate) -> None:
        """Report what this process has counted alone to the counter. If that fails, the next call tries again."""
        with self.lock:
            lease = self._known(name, rate, self.clock())
        if lease and lease.owed:
            self._ask(name, lease, 0, share=lease.window.limit + 1)  # a share of nothing

    def remaining(self, name: str, rate: Rate) -> int:
        """Return how many permits are left. Ask the counter only if this process does not know the window yet."""
        with self.lock:
            lease = self._known(name, rate, self.clock())
        return (lease or self._read(name, rate)).left

    def ends_in(self, rate: Rate) -> int:
        now = self.clock()
        return _window(rate, now).ends_in(now)

    def _ask(self, name: str, lease: _Lease, missing: int, share: int = BATCH_DIVISOR) -> int | None:
        """Lease permits, and report what is owed. Return the number leased, None if the counter fails."""
        with self.lock:
            owed, lease.owed = lease.owed, 0
        try:
            granted = self.store.reserve(name, lease.window, missing + owed, share)
        except StoreUnavailable:
            with self.lock:
                lease.owed += owed
            return None
        with self.lock:
            lease.learn(granted.used)
        return max(0, granted.permits - owed)

    def _read(self, name: str, rate: Rate) -> _Lease:
        """Return the lease, after asking the counter how many permits are used, unless it fails."""
        with self.lock:
            lease = self._lease(name, rate, self.clock())
        with suppress(StoreUnavailable):
            used = self.store.used(name, lease.window)
            with self.lock:
                lease.learn(used)
        return lease

    def _known(self, name: str, rate: Rate, now: float) -> _Lease | None:
        lease = self.leases.get(name)
        return lease if lease and lease.window == _window(rate, now) else None

    def _lease(self, name: str, rate: Rate, now: float) -> _Lease:
        lease = self._known(name, rate, now)
        if lease is None:
            if len(self.leases) >= MAX_NAMES:
                self.leases = {n: each for n, each in self.leases.items() if each.window.ends_at > now}
            if len(self.leases) >= MAX_NAMES:  # the counter does not know what is owed, nor which items are counted
                self.leases = {n: each for n, each in self.leases.items() if each.owed or each.items}
            lease = self.leases[name] = _Lease(_window(rate, now), rate.number)
        return lease


def _window(rate: Rate, now: float) -> Window:
    began_at = int(now // rate.seconds) * rate.seconds
    return Window(began_at, began_at + rate.seconds, rate.number)
