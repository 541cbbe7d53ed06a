"""Threads that answer requests: few at a time, and the one that has answered last answers next."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

HELD_UP = 0.1  # seconds


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
        else:
            self.future.set_result(result)


class WarmThreads(Executor):
    """A pool of `max_workers` threads, of which `at_once` work.

    - More of them would only take the processor from each other, and each answer as long as all of them together. A
      thread that has been at its task for longer than HELD_UP is not counted: it waits for a client, a lock or a
      change, and another takes its place. `look_after` has to be called now and then for that.
    - The thread that became idle last works next. Each has its connection to the database, with statements that are
      planned and caches that are filled; the standard pool spreads a few requests over all that a burst has started.
    - The threads end with the process; `shutdown` waits for what they are at.
    """

    def __init__(self, max_workers: int, at_once: int) -> None:
        self._max_workers, self._at_once = max_workers, at_once
        self._lock = threading.RLock()  # a signal's handler may shut down whoever is about to submit
        self._tasks: deque[Task] = deque()
        self._begun: dict[threading.Thread, float] = {}  # since when those that work are at their task
        self._idle: list[Thread] = []
        self._threads: list[Thread] = []
        self._is_shut_down = False

    @property
    def waiting(self) -> int:
        """How many tasks wait for a thread."""
        return len(self._tasks)

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

    def rest(self, thread: "Thread") -> None:
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
        for thread in self._threads if wait else ():
            thread.join()

    def _end_the_idle(self) -> None:
        while self._is_shut_down and self._idle:
            self._idle.pop().given.put(None)

    def _may_begin(self) -> bool:
        if len(self._begun) < self._at_once:
            return True
        counted_from = time.monotonic() - HELD_UP
        return sum(begun > counted_from for begun in self._begun.values()) < self._at_once

    def _free_thread(self) -> "Thread | None":
        if self._idle:
            return self._idle.pop()
        if len(self._threads) == self._max_workers:
            return None
        thread = Thread(self)
        thread.start()
        self._threads.append(thread)
        return thread

    def _begin(self, thread: "Thread") -> None:
        self._begun[thread] = time.monotonic()
        thread.given.put(self._tasks.popleft())


class Thread(threading.Thread):
    def __init__(self, pool: WarmThreads) -> None:
        super().__init__(daemon=True)
        self.pool = pool
        self.given: queue.SimpleQueue[Task | None] = queue.SimpleQueue()

    def run(self) -> None:
        while self._did(self.given.get()):  # the task is not kept while the thread rests
            self.pool.rest(self)

    def _did(self, task: Task | None) -> bool:
        if task is None:
            return False
        task.run()
        return True
