"""Allow exactly the number of requests of a rate, over all processes and machines, with few calls of the shared store.

A process leases permits: it reserves a 64th of the remaining permits in the store, or one at a time if fewer than 128
remain. So most requests find a permit in their own process, and the total never exceeds the limit while a store works.
If no store works, requests are allowed. At the end of a window, leased permits that are not used expire: at most a 64th
of the limit for each lease.

Windows are fixed: each begins at a whole multiple of its length since 1970. Decision 13 has the reasons.
"""

import math
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

from devices.values.rates import Rate

BATCH_DIVISOR = 64  # a lease is the remaining permits divided by this
MAX_NAMES = 10_000  # the names that a process keeps, and the items of each name

Item = TypeVar("Item", bound=Hashable)


class StoreUnavailable(Exception):
    """No store can count permits at the moment."""


class Window(NamedTuple):
    """A period with `limit` permits. Its times are in seconds since 1970 UTC."""

    began_at: int
    ends_at: int
    limit: int

    def ends_in(self, now: float) -> int:
        """Return the whole seconds until the window ends, at least 1."""
        return max(1, math.ceil(self.ends_at - now))


class Reservation(NamedTuple):
    """The number of reserved permits, and the number that all processes have used, including these."""

    permits: int
    used: int


class Store(Protocol):
    """Counts the used permits of a name and a window for all processes.

    Raises:
        StoreUnavailable: by both methods, if the store cannot be used.
    """

    def reserve(self, name: str, window: Window, wanted: int = 1, share: int = BATCH_DIVISOR) -> Reservation:
        """Reserve `batch_size` of the remaining permits in one atomic step."""

    def used(self, name: str, window: Window) -> int:
        """Return the number of used permits."""


class Decision(NamedTuple):
    """Whether a request is allowed, the number of remaining permits, and the seconds until the window ends."""

    admitted: bool
    remaining: int
    ends_in: int


@dataclass(slots=True)
class _Lease:
    """The state of a window in this process. The caller of a method must hold the limiter's lock."""

    window: Window
    remaining: int  # permits of all processes, as far as this process knows
    permits: int = 0  # leased by this process, but not used yet
    unreported: int = 0  # used by this process, but not reserved in the store yet
    items: set[int] = field(default_factory=set)  # hashes of the items that `acquire_items` has counted

    def use(self, permits: int, now: float) -> Decision:
        """Use this number of leased permits, or all if there are fewer."""
        used = min(self.permits, permits)
        self.permits -= used
        return self.decide(used > 0, now)

    def use_unreported(self, permits: int) -> bool:
        """Use this number of permits, or all if there are fewer, without the store. Return whether there was one."""
        used = min(self.remaining, permits)
        self.remaining -= used
        self.unreported += used
        return used > 0

    def decide(self, admitted: bool, now: float) -> Decision:
        """Return the decision with the current number of remaining permits."""
        return Decision(admitted, self.remaining + self.permits, self.window.ends_in(now))

    def update(self, used: int) -> None:
        """Update the remaining permits after the store has returned the number of used ones."""
        self.remaining = min(self.remaining, max(0, self.window.limit - used - self.unreported))


def batch_size(remaining: int, wanted: int = 1, share: int = BATCH_DIVISOR) -> int:
    """Return the size of a lease: the share of the remaining permits, at least `wanted`, at most all that remain."""
    return min(remaining, max(wanted, remaining // share))


class RateLimiter:
    """Decides on requests with the permits that this process has leased. Its methods are thread-safe."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self.clock = clock
        self.lock = threading.Lock()
        self.leases: dict[str, _Lease] = {}

    def acquire(self, name: str, rate: Rate, permits: int = 1, *, strict: bool = False) -> Decision:
        """Use permits, or the rest if fewer remain. Allow the request if there was at least one.

        1. If this process has enough permits, use them. If it knows that the store has none, use those that it has.
        2. Otherwise lease the missing permits. Other threads continue, and can lease at the same time.
        3. If the store is unavailable, allow the request. With `strict`, count it in this process, and allow only the
           number that remained. They are reported to the store as soon as it is available again.
        """
        now = self.clock()
        with self.lock:
            lease = self._lease(name, rate, now)
            if lease.permits >= permits or not lease.remaining:
                return lease.use(permits, now)
            missing = permits - lease.permits
        reserved = self._reserve(name, lease, missing)
        with self.lock:
            if reserved is None:
                return lease.decide(not strict or lease.use_unreported(missing), now)
            lease.permits += reserved
            return lease.use(permits, now)

    def peek_exhausted(self, name: str, rate: Rate) -> Decision | None:
        """Return a negative decision if this process knows that no permits remain, else None. Use no permit."""
        now = self.clock()
        with self.lock:
            lease = self._find(name, rate, now)
            return lease.decide(False, now) if lease and not lease.permits and not lease.remaining else None

    def acquire_items(self, name: str, rate: Rate, items: Sequence[Item]) -> tuple[set[Item], int | None]:
        """Use a permit for each item that is new in this window, in this process. `flush` reports them to the store.

        Return the items that are allowed now or were allowed before, and the number of items after which no permit
        remained. That is None if there are remaining permits.
        """
        lease, admitted, end = self._read(name, rate), set[Item](), 0
        with self.lock:
            for place, item in enumerate(items, start=1):
                if hash(item) not in lease.items:
                    if not lease.use_unreported(1):
                        continue
                    end = place
                    if len(lease.items) < MAX_NAMES:
                        lease.items.add(hash(item))
                admitted.add(item)
            return admitted, None if lease.remaining else end

    def flush(self, name: str, rate: Rate) -> None:
        """Report permits that this process has used without the store. If the store fails, the next call retries."""
        with self.lock:
            lease = self._find(name, rate, self.clock())
        if lease and lease.unreported:
            self._reserve(name, lease, 0, share=lease.window.limit + 1)  # the share is 0: no further permits

    def remaining(self, name: str, rate: Rate) -> int:
        """Return the number of remaining permits. Call the store only if this process does not know the window yet."""
        with self.lock:
            lease = self._find(name, rate, self.clock())
        return (lease or self._read(name, rate)).remaining

    def ends_in(self, rate: Rate) -> int:
        """Return the whole seconds until the current window of the rate ends, at least 1."""
        now = self.clock()
        return _window(rate, now).ends_in(now)

    def _reserve(self, name: str, lease: _Lease, missing: int, share: int = BATCH_DIVISOR) -> int | None:
        """Reserve permits in the store, including unreported ones. Return the number of new ones; None on failure."""
        with self.lock:
            unreported, lease.unreported = lease.unreported, 0
        try:
            reservation = self.store.reserve(name, lease.window, missing + unreported, share)
        except StoreUnavailable:
            with self.lock:
                lease.unreported += unreported
            return None
        with self.lock:
            lease.update(reservation.used)
        return max(0, reservation.permits - unreported)

    def _read(self, name: str, rate: Rate) -> _Lease:
        """Return the lease, updated with the number of used permits in the store if the store is available."""
        with self.lock:
            lease = self._lease(name, rate, self.clock())
        with suppress(StoreUnavailable):
            used = self.store.used(name, lease.window)
            with self.lock:
                lease.update(used)
        return lease

    def _find(self, name: str, rate: Rate, now: float) -> _Lease | None:
        """Return the lease of the current window if there is one."""
        lease = self.leases.get(name)
        return lease if lease and lease.window == _window(rate, now) else None

    def _lease(self, name: str, rate: Rate, now: float) -> _Lease:
        """Return the lease of the current window. Discard others if there are too many."""
        lease = self._find(name, rate, now)
        if lease is None:
            if len(self.leases) >= MAX_NAMES:
                self.leases = {n: each for n, each in self.leases.items() if each.window.ends_at > now}
            if len(self.leases) >= MAX_NAMES:  # the store knows neither unreported permits nor items, so keep these
                self.leases = {n: each for n, each in self.leases.items() if each.unreported or each.items}
            lease = self.leases[name] = _Lease(_window(rate, now), rate.number)
        return lease


def _window(rate: Rate, now: float) -> Window:
    """Return the current window of the rate."""
    began_at = int(now // rate.seconds) * rate.seconds
    return Window(began_at, began_at + rate.seconds, rate.number)
