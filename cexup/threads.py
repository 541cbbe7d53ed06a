"""Threads that answer requests: few at a time, and the one that has answered last answers next."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

HELD_UP = 0.1  # seconds at one task, after which a thread most likely waits for something


@dataclass(frozen=True, slots=True)
class Task:
    call: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.call()
        except BaseException as error:  # noqa: BLE001, it is whoever asks for the result who is told
            self.future.set_exception(error)
            del self  # the error has this frame, and would keep what is asked for
        else:
            self.future.set_result(result)


class WarmThreads(Executor):
    """A pool of `max_workers` threads, of which `at_once` work.

    - More of them would only take the processor from each other, and each answer as long as all of them together. A
      thread that has been at its task for longer than HELD_UP is not counted, as it most likely waits for a client, a
      lock or a change: another takes its place. `look_after` has to be called now and then for that.
    - The thread that became idle last works next. Each has its connection to the database, with statements that are
      planned and caches that are filled; the standard pool spreads a few requests over all that a burst has started.
    - The threads end with the process; `shutdown` waits for what they are at.
    """

    def __init__(self, max_workers: int, at_once: int) -> None:
        self._max_workers, self._at_once = max_workers, at_once
        self._lock = threading.RLock()  # a signal's handler may shut down whoever is about to submit
        self._tasks: deque[Task] = deque()
        self._begun: dict[threading.Thread, float] = {}  # since when those that work are counted
        self._idle: list[PoolThread] = []
        self._number = 0  # of threads
        self._is_shut_down = False

    @property
    def waiting(self) -> int:
        """How many tasks wait for a thread."""
        return len(self._tasks)

    @property
    def is_crowded(self) -> bool:
        """Tell whether more work than may, since some were held up for a while."""
        return len(self._begun) > self._at_once and self._counted() > self._at_once

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        task = Task(lambda: call(*args, **kwargs))
        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("These threads have been shut down.")
            self._tasks.append(task)
            self.look_after()
        return task.future

    def look_after(self) -> None:
        """Have threads begin what waits, as far as they may."""
        with self._lock:
            while self._tasks and self._may_begin() and (thread := self._free_thread()):
                self._begin(thread)

    def begin_anew(self) -> None:
        """Count the thread that asks from now on: its task begins another piece of work."""
        self._begun[threading.current_thread()] = time.monotonic()

    def step_aside(self, thread: "PoolThread") -> None:
        """Count the thread no longer: its task is about to wait."""
        with self._lock:
            self._begun[thread] = -HELD_UP
            self.look_after()

    def rest(self, thread: "PoolThread") -> None:
        """Have the thread wait for what it does next. It became idle last, so it is the first to be given something."""
        with self._lock:
            del self._begun[thread]
            self._idle.append(thread)
            self.look_after()
            self._end_the_idle()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing new. What has been submitted is done, or cancelled."""
        with self._lock:
            self._is_shut_down = True
            while cancel_futures and self._tasks:
                self._tasks.popleft().future.cancel()
            self._end_the_idle()
        while wait and (working := [thread for thread in list(self._begun) if thread.is_alive()]):
            working[0].join()

    def _end_the_idle(self) -> None:
        while self._is_shut_down and self._idle:
            self._idle.pop().given.put(None)

    def _may_begin(self) -> bool:
        return len(self._begun) < self._at_once or self._counted() < self._at_once

    def _counted(self) -> int:
        counted_from = time.monotonic() - HELD_UP
        return sum(begun > counted_from for begun in list(self._begun.values()))

    def _free_thread(self) -> "PoolThread | None":
        if self._idle:
            return self._idle.pop()
        if self._number == self._max_workers:
            return None
        thread = PoolThread(self)
        try:
            thread.start()
        except RuntimeError:  # the system has no more
            if not self._number:
                raise
            return None
        self._number += 1
        return thread

    def _begin(self, thread: "PoolThread") -> None:
        thread.given.put(self._tasks.popleft())
        self._begun[thread] = time.monotonic()


class PoolThread(threading.Thread):
    def __init__(self, pool: WarmThreads) -> None:
        super().__init__(daemon=True)
        self.pool = pool
        self.given: queue.SimpleQueue[Task | None] = queue.SimpleQueue()

    def run(self) -> None:
        while task := self.given.get():
            task.run()
            del task  # not to be kept while the thread rests
            self.pool.rest(self)


def step_aside() -> None:
    """Say that what this thread is at is about to wait, so that another may work meanwhile."""
    thread = threading.current_thread()
    if isinstance(thread, PoolThread):
        thread.pool.step_aside(thread)
