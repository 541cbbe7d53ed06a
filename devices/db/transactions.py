"""Run a verb in one transaction, retry it if another writer was in the way, and recognize outages of the database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import Error, IntegrityError, InterfaceError, OperationalError, connection, transaction

from devices.db import locks
from devices.values.errors import FieldError, ValidationFailed

# https://www.postgresql.org/docs/current/errcodes-appendix.html
DEADLOCK = "40P01"
# SQLSTATEs of outages that psycopg does not count as operational errors.
PASSING = {
    "0A000",  # a migration has changed the result of a prepared statement; nothing else unsupported is requested
    "25006",  # read-only: a standby that becomes the primary, or set by an operator
    "25P02",  # the transaction failed before
    "25P03",  # it was idle for too long
    "25P04",  # it took too long
    "26000",  # the prepared statement does not exist: a pooler gave us another connection
}
ATTEMPTS = 5

P = ParamSpec("P")
R = TypeVar("R")


class _Explained(IntegrityError):
    """The database refused a row; `explain` finds the reason once the transaction is rolled back."""

    def __init__(self, explain: Callable[[], list[FieldError]]) -> None:
        self.explain = explain
        super().__init__("The database refused a row.")


@contextmanager
def explained_by(explain: Callable[[], list[FieldError]]) -> Iterator[None]:
    """Have `atomic_with_retry` raise Refused with these problems if the database refuses a row; retry if none."""
    try:
        yield
    except IntegrityError as error:
        raise _Explained(explain) from error


def atomic_with_retry(verb: Callable[P, R]) -> Callable[P, R]:
    """Run the verb in a transaction, and retry it if another writer was in the way and may be gone by now.

    That is: PostgreSQL ended it to resolve a deadlock, or refused a row for another that has vanished meanwhile.
    A retry waits for other retries, or lists that overlap would go on ending each other. Within a transaction of the
    caller it is a part of that: the caller's transaction has failed, and the caller may retry it. A verb with
    `dry_run=True` writes nothing, and gets no transaction: on SQLite that would be a lock.

    Raises:
        Refused: the database refused a row, and `explained_by` found problems.
    """

    @wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs.get("dry_run"):
            return verb(*args, **kwargs)
        attempts = 1 if connection.in_atomic_block else ATTEMPTS
        for attempt in range(1, attempts + 1):
            try:
                with transaction.atomic():
                    if attempt > 1:
                        locks.acquire_registry_lock()
                    return verb(*args, **kwargs)
            except IntegrityError as error:
                if isinstance(error, _Explained) and (problems := error.explain()):
                    raise ValidationFailed(problems) from error
                if attempt == attempts:
                    raise
            except OperationalError as error:
                if _sqlstate(error) != DEADLOCK or attempt == attempts:
                    raise
        raise AssertionError("the last attempt returns or raises")

    return run


def is_outage(error: BaseException | None) -> bool:
    """Return whether the database was unreachable, full, read-only, locked or too slow.

    The client may retry the request (503 with Retry-After). Other errors are ours (500).
    """
    if isinstance(error, (OperationalError, InterfaceError)):
        return True
    return isinstance(error, Error) and _sqlstate(error) in PASSING


def _sqlstate(error: Error) -> str | None:
    return getattr(error.__cause__, "sqlstate", None)
