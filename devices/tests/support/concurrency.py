"""Run functions in other threads, each with its own database connection."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction


def at_once(count: int, act: Callable[[int], Any]) -> list[Any]:
    """Call `act` with 0 to `count` - 1 in as many threads, which start at the same moment. Return the results in order.

    Each thread has its own database connection.
    """
    start = threading.Barrier(count)

    def run(number: int) -> Any:
        try:
            start.wait()
            return act(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@contextmanager
def open_transaction(*statements: str) -> Iterator[None]:
    """Keep a transaction of another connection open within the block, after it has executed the statements.

    On SQLite it has the write lock.
    """
    is_open, is_done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            is_open.set()
            is_done.wait(120)
        connection.close()

    other = threading.Thread(target=hold)
    other.start()
    try:
        assert is_open.wait(60)
        yield
    finally:
        is_done.set()
        other.join()
