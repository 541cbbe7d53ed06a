"""The rate limiter with a store in memory."""

import threading

import pytest

from devices.ratelimit.limiter import RateLimiter
from devices.tests.support.limits import MemoryStore
from devices.values.rates import Rate

PER_MINUTE = Rate(100, "min")


class Clock:
    def __init__(self, at: float = 1_000_000_020.0) -> None:  # the beginning of a minute
        self.at = at

    def __call__(self) -> float:
        return self.at


def test_limiter_allows_exactly_the_limit() -> None:
    limiter = RateLimiter(MemoryStore(), Clock())
    decisions = [limiter.acquire("a", PER_MINUTE) for _ in range(103)]
    assert [decision.admitted for decision in decisions] == [True] * 100 + [False] * 3
    assert [decision.remaining for decision in decisions] == [*range(99, -1, -1), 0, 0, 0]
    assert limiter.acquire("b", PER_MINUTE).admitted


def test_processes_with_a_shared_store_together_allow_exactly_the_limit() -> None:
    shared, clock = MemoryStore(), Clock()
    processes = [RateLimiter(shared, clock) for _ in range(8)]
    admitted: list[bool] = []

    def acquire_many(limiter: RateLimiter) -> None:
        for _ in range(50):
            admitted.append(limiter.acquire("a", PER_MINUTE).admitted)  # list.append is atomic  # noqa: PERF401

    threads = [threading.Thread(target=acquire_many, args=[limiter]) for limiter in processes for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(admitted), sum(admitted)) == (8 * 4 * 50, 100)


def test_most_requests_do_not_call_the_store() -> None:
    shared = MemoryStore()
    limiter = RateLimiter(shared, Clock())
    rate = Rate(1_000_000, "min")
    assert all(limiter.acquire("a", rate).admitted for _ in range(10_000))
    assert shared.calls == 1


def test_lease_withholds_at_most_a_64th_from_other_processes() -> None:
    shared, clock = MemoryStore(), Clock()
    quiet, busy = RateLimiter(shared, clock), RateLimiter(shared, clock)
    rate = Rate(6400, "min")
    assert quiet.acquire("a", rate).admitted
    assert sum(busy.acquire("a", rate).admitted for _ in range(6500)) == 6300


def test_exhausted_limit_returns_the_wait_without_calling_the_store() -> None:
    shared, clock = MemoryStore(), Clock()
    limiter = RateLimiter(shared, clock)
    clock.at += 20.5
    for _ in range(100):
        limiter.acquire("a", PER_MINUTE)
    assert not limiter.acquire("a", PER_MINUTE).admitted
    calls = shared.calls
    decision = limiter.acquire("a", PER_MINUTE)
    assert (decision, shared.calls) == ((False, 0, 40), calls)
    clock.at += 39
    assert limiter.acquire("a", PER_MINUTE) == (False, 0, 1)
    clock.at += 0.5
    assert limiter.acquire("a", PER_MINUTE) == (True, 99, 60)


def test_clock_that_is_set_back_does_not_extend_an_exhausted_window() -> None:
    shared, clock = MemoryStore(), Clock()
    limiter = RateLimiter(shared, clock)
    assert sum(limiter.acquire("a", PER_MINUTE).admitted for _ in range(150)) == 100
    clock.at -= 3600
    assert sum(limiter.acquire("a", PER_MINUTE).admitted for _ in range(150)) == 100
    clock.at += 3600
    assert not limiter.acquire("a", PER_MINUTE).admitted


def test_requests_are_allowed_while_the_store_is_unavailable() -> None:
    shared = MemoryStore()
    limiter = RateLimiter(shared, Clock())
    shared.is_down = True
    assert sum(limiter.acquire("a", PER_MINUTE).admitted for _ in range(150)) == 150
    shared.is_down = False
    assert sum(limiter.acquire("a", PER_MINUTE).admitted for _ in range(150)) == 100


def test_strict_limit_is_counted_in_the_process_if_the_store_fails() -> None:
    shared, clock = MemoryStore(), Clock()
    limiter = RateLimiter(shared, clock)
    rate = Rate(5, "min")
    limiter.acquire("a", rate, strict=True)
    shared.is_down = True
    assert [limiter.acquire("a", rate, strict=True).admitted for _ in range(6)] == [True] * 4 + [False] * 2
    assert limiter.peek_exhausted("a", rate) is not None
    clock.at += 60
    assert limiter.acquire("a", rate, strict=True).admitted


def test_unreported_permits_are_reported_when_the_store_recovers() -> None:
    shared, clock = MemoryStore(), Clock()
    limiter, other = RateLimiter(shared, clock), RateLimiter(shared, clock)
    rate = Rate(5, "min")
    shared.is_down = True
    assert [limiter.acquire("a", rate, strict=True).admitted for _ in range(3)] == [True] * 3
    shared.is_down = False
    assert limiter.acquire("a", rate, strict=True) == (True, 1, 60)
    assert [other.acquire("a", rate, strict=True).admitted for _ in range(2)] == [True, False]


def test_lease_with_unreported_permits_is_not_discarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.ratelimit.limiter.MAX_NAMES", 3)
    shared = MemoryStore()
    limiter = RateLimiter(shared, Clock())
    shared.is_down = True
    limiter.acquire("a", Rate(1, "min"), strict=True)
    for n in range(10):
        limiter.acquire(f"other {n}", PER_MINUTE)
    assert not limiter.acquire("a", Rate(1, "min"), strict=True).admitted


def test_peek_exhausted_uses_no_permit() -> None:
    shared, clock = MemoryStore(), Clock()
    limiter = RateLimiter(shared, clock)
    for _ in range(100):
        assert limiter.peek_exhausted("a", PER_MINUTE) is None
        limiter.acquire("a", PER_MINUTE)
    assert limiter.peek_exhausted("a", PER_MINUTE) == (False, 0, 60)
    clock.at += 60
    assert limiter.peek_exhausted("a", PER_MINUTE) is None


def test_number_of_leases_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.ratelimit.limiter.MAX_NAMES", 10)
    clock = Clock()
    limiter = RateLimiter(MemoryStore(), clock)
    for number in range(100):
        clock.at += number % 7 * 10
        assert limiter.acquire(f"name {number}", PER_MINUTE).admitted
        assert len(limiter.leases) <= 10
    for _ in range(100):
        limiter.acquire("busy", PER_MINUTE)
    for number in range(20):
        limiter.acquire(f"another {number}", PER_MINUTE)
    assert not limiter.acquire("busy", PER_MINUTE).admitted  # its lease was discarded, but the store has the number


# --- Items: each is counted once in a window

A_DAY = Rate(100, "d")


def test_threads_that_acquire_items_share_the_limit() -> None:
    limiter, admitted = RateLimiter(MemoryStore(), Clock()), list[int]()

    def acquire_some(start: int) -> None:
        items, _end = limiter.acquire_items("a", A_DAY, range(start, start + 50))
        admitted.append(len(items))  # list.append is atomic
        limiter.flush("a", A_DAY)

    threads = [threading.Thread(target=acquire_some, args=[1000 * number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 100
    assert RateLimiter(limiter.store, limiter.clock).remaining("a", A_DAY) == 0


def test_items_are_counted_once_and_in_order() -> None:
    shared, clock = MemoryStore(), Clock()
    limiter, rate = RateLimiter(shared, clock), Rate(3, "d")
    assert limiter.acquire_items("a", rate, "xyx") == ({"x", "y"}, None)
    assert limiter.acquire_items("a", rate, "yvw") == ({"y", "v"}, 2)
    assert limiter.acquire_items("a", rate, "wx") == ({"x"}, 0)
    clock.at += 86_400
    assert limiter.acquire_items("a", rate, "w") == ({"w"}, None)


def test_other_processes_see_items_after_a_flush() -> None:
    shared, clock = MemoryStore(), Clock()
    limiter, other = RateLimiter(shared, clock), RateLimiter(shared, clock)
    limiter.acquire_items("a", A_DAY, "xyz")
    assert (limiter.remaining("a", A_DAY), other.remaining("a", A_DAY)) == (97, 100)
    limiter.flush("a", A_DAY)
    limiter.flush("a", A_DAY)
    assert other.acquire_items("a", A_DAY, "v") == ({"v"}, None)
    assert other.remaining("a", A_DAY) == 96


def test_flush_reserves_no_further_permits() -> None:
    shared, rate = MemoryStore(), Rate(100_000, "d")
    limiter = RateLimiter(shared, Clock())
    limiter.acquire_items("a", rate, "xy")
    limiter.flush("a", rate)
    assert list(shared.counts.values()) == [2]


def test_failed_flush_is_repeated_by_the_next() -> None:
    shared = MemoryStore()
    limiter = RateLimiter(shared, Clock())
    shared.is_down = True
    limiter.acquire_items("a", A_DAY, "x")
    limiter.flush("a", A_DAY)
    assert (limiter.remaining("a", A_DAY), shared.counts) == (99, {})
    shared.is_down = False
    limiter.acquire_items("a", A_DAY, "y")
    limiter.flush("a", A_DAY)
    assert (limiter.remaining("a", A_DAY), list(shared.counts.values())) == (98, [2])


def test_number_of_items_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.ratelimit.limiter.MAX_NAMES", 10)
    limiter, rate = RateLimiter(MemoryStore(), Clock()), Rate(1000, "d")
    limiter.acquire_items("a", rate, range(100))
    assert (len(limiter.leases["a"].items), limiter.remaining("a", rate)) == (10, 900)


def test_lease_with_items_is_not_discarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.ratelimit.limiter.MAX_NAMES", 10)
    limiter = RateLimiter(MemoryStore(), Clock())
    limiter.acquire_items("a", A_DAY, "xyz")
    limiter.flush("a", A_DAY)
    for number in range(50):
        limiter.acquire(f"other {number}", PER_MINUTE)
    limiter.acquire_items("a", A_DAY, "xyz")
    limiter.flush("a", A_DAY)
    assert limiter.remaining("a", A_DAY) == 97
