"""Few threads work at a time, the one that became idle last works next, and who is held up is not counted."""

import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from cexup.threads import HELD_UP, PoolThread, WarmThreads, step_aside
from devices.tests.faults import eventually


@pytest.fixture
def pool() -> Iterator[WarmThreads]:
    pool = WarmThreads(max_workers=4, at_once=2)
    yield pool
    pool.shutdown()


def _finish(work: list[Future[Any]]) -> list[Any]:
    return [done.result(20) for done in work]


def test_work_is_given_to_the_thread_that_became_idle_last(pool: WarmThreads) -> None:
    together = threading.Barrier(2, timeout=20)
    _finish([pool.submit(together.wait) for _ in range(2)])  # two have been started
    by = set()
    for _ in range(20):
        eventually(lambda: len(pool._idle) == 2)
        by.add(pool.submit(threading.get_ident).result(20))
    assert len(by) == 1


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("cexup.threads.time", clock)
    return clock


def test_few_work_at_once(clock: Clock, pool: WarmThreads) -> None:
    begun, go = [], threading.Semaphore(0)

    def work(number: int) -> None:
        begun.append(number)
        go.acquire(timeout=20)

    work_done = [pool.submit(work, number) for number in range(6)]
    for number in (2, 3, 4):
        eventually(lambda number=number: len(begun) == number)
        assert pool.waiting == 6 - number
        go.release()
    go.release(3)
    _finish(work_done)


def test_what_waits_is_taken_in_its_order(clock: Clock) -> None:
    pool, done = WarmThreads(max_workers=4, at_once=1), list[int]()
    for number in range(50):
        pool.submit(done.append, number)
    pool.shutdown()
    assert done == list(range(50))


def test_what_is_held_up_is_not_counted_but_there_are_no_more_threads_than_may_be(
    clock: Clock, pool: WarmThreads
) -> None:
    begun, go = [], threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        go.wait(20)

    work_done = [pool.submit(work, number) for number in range(6)]
    for expected in ([0, 1], [0, 1, 2, 3], [0, 1, 2, 3]):
        pool.look_after()
        eventually(lambda expected=expected: sorted(begun) == expected)
        assert pool.waiting == 6 - len(expected)
        clock.now += HELD_UP
    go.set()
    _finish(work_done)


def test_a_thread_whose_task_begins_anew_is_counted_again(clock: Clock) -> None:
    pool, goes_on, go = WarmThreads(max_workers=2, at_once=1), threading.Barrier(2, timeout=20), threading.Event()

    def work() -> None:
        goes_on.wait()
        pool.begin_anew()
        goes_on.wait()
        go.wait(20)

    busy = pool.submit(work)
    clock.now += HELD_UP
    for _ in range(2):
        goes_on.wait()
    other = pool.submit(threading.get_ident)
    assert pool.waiting == 1
    clock.now += HELD_UP
    pool.look_after()
    assert other.result(20)
    go.set()
    _finish([busy])
    pool.shutdown()


def test_a_thread_that_is_about_to_wait_lets_another_work(clock: Clock) -> None:
    pool, go = WarmThreads(max_workers=2, at_once=1), threading.Event()

    def wait() -> None:
        step_aside()
        go.wait(20)

    waiting = pool.submit(wait)
    assert pool.submit(divmod, 7, 2).result(20) == (3, 1)
    go.set()
    _finish([waiting])
    pool.shutdown()
    step_aside()  # of no pool: it is nobody's business


def test_it_is_crowded_while_more_work_than_may(clock: Clock, pool: WarmThreads) -> None:
    go, anew = threading.Event(), threading.Barrier(4, timeout=20)

    def work() -> None:
        anew.wait()
        pool.begin_anew()
        anew.wait()
        go.wait(20)

    work_done = [pool.submit(work) for _ in range(4)]
    assert not pool.is_crowded
    clock.now += HELD_UP
    pool.look_after()
    eventually(lambda: pool.is_crowded)
    clock.now += HELD_UP
    assert not pool.is_crowded
    go.set()
    _finish(work_done)


def test_where_no_more_threads_can_be_had_those_that_there_are_do_all_the_work(
    pool: WarmThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    assert pool.submit(int).result(20) == 0
    monkeypatch.setattr(PoolThread, "start", start)
    assert _finish([pool.submit(int, number) for number in range(50)]) == list(range(50))
    with pytest.raises(RuntimeError):
        WarmThreads(max_workers=1, at_once=1).submit(int)


def test_whoever_asks_is_told_what_came_of_it(pool: WarmThreads) -> None:
    assert pool.submit(divmod, 7, 2).result(20) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 7, 0).result(20)
    assert pool.submit(int, "7", base=8).result(20) == 7


@pytest.mark.parametrize("work", [id, int])  # int() of it raises
def test_a_thread_that_rests_keeps_nothing_of_its_task(pool: WarmThreads, work: Any) -> None:
    class Request:
        pass

    request = Request()
    gone = weakref.ref(request)
    gc.disable()
    try:
        pool.submit(work, request).exception(20)
        del request
        eventually(lambda: gone() is None)
    finally:
        gc.enable()


def test_after_a_shutdown_what_was_submitted_is_done_and_nothing_more() -> None:
    pool, go, done = WarmThreads(max_workers=2, at_once=1), threading.Event(), list[int]()
    first = pool.submit(go.wait, 20)
    rest = [pool.submit(done.append, number) for number in range(3)]
    pool.shutdown(wait=False)
    with pytest.raises(RuntimeError):
        pool.submit(done.append, 3)
    go.set()
    pool.shutdown()
    assert (first.result(0), [future.result(0) for future in rest], done) == (True, [None] * 3, [0, 1, 2])


def test_a_shutdown_may_cancel_what_has_not_begun() -> None:
    pool, go = WarmThreads(max_workers=1, at_once=1), threading.Event()
    begun, waiting = pool.submit(go.wait, 20), pool.submit(go.wait, 20)
    pool.shutdown(wait=False, cancel_futures=True)
    go.set()
    assert waiting.cancelled()
    assert begun.result(20)


def test_nothing_is_lost_between_many_who_submit() -> None:
    pool, done = WarmThreads(max_workers=8, at_once=3), list[int]()
    givers = [threading.Thread(target=lambda: [pool.submit(done.append, 1) for _ in range(500)]) for _ in range(8)]
    for giver in givers:
        giver.start()
    for giver in givers:
        giver.join()
    pool.shutdown()
    assert len(done) == 4000
