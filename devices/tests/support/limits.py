"""A rate limiter's store in memory."""

import threading

from devices.ratelimit.limiter import BATCH_DIVISOR, Reservation, StoreUnavailable, Window, batch_size


class MemoryStore:
    """Counts permits in memory, and its own calls. It is unavailable while `is_down` is set."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, Window], int] = {}
        self.calls = 0
        self.lock = threading.Lock()
        self.is_down = False

    def reserve(self, name: str, window: Window, wanted: int = 1, share: int = BATCH_DIVISOR) -> Reservation:
        with self.lock:
            used = self.used(name, window)
            permits = batch_size(window.limit - used, wanted, share)
            self.counts[name, window] = used + permits
            return Reservation(permits, used + permits)

    def used(self, name: str, window: Window) -> int:
        self.calls += 1
        if self.is_down:
            raise StoreUnavailable
        return self.counts.get((name, window), 0)
