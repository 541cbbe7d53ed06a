"""Threads that answer requests, of which the one that has answered last answers next."""

import queue
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class WarmThreads(ThreadPoolExecutor):
    """A pool that gives work to the thread that became idle last.

    Each thread has its connection to the database, with statements that are planned and caches that are filled. The
    standard pool spreads a few requests over all the threads that a burst has started, and so over as many connections.
    """

    def __init__(self, max_workers: int) -> None:
        super().__init__(max_workers)
        self._work_queue: Any = Handover()  # the executor has no other way to be given a queue

    @property
    def waiting(self) -> int:
        """How much work waits for a thread."""
        return int(self._work_queue.qsize())


class Handover:
    """A queue whose items come in their order, each to whoever has begun to wait for one last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: deque[Any] = deque()
        self._waiting: list[queue.SimpleQueue[Any]] = []

    def put(self, item: Any) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.pop().put(item)
            else:
                self._items.append(item)

    def get(self, block: bool = True) -> Any:
        mine: queue.SimpleQueue[Any] = queue.SimpleQueue()  # not under the lock: Python's collector may call `put`
        with self._lock:
            if self._items:
                return self._items.popleft()
            if not block:
                raise queue.Empty
            self._waiting.append(mine)
        return mine.get()

    def get_nowait(self) -> Any:
        return self.get(block=False)

    def qsize(self) -> int:
        return len(self._items)
