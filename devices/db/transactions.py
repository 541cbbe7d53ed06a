"""Run a function in a transaction with retries, and recognize outages of the database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import Error, IntegrityError, InterfaceError, OperationalError, connection, transaction

from devices.db import locks
from devices.values.errors import FieldError, ValidationFailed
from devices.values.outages import OutageCause

# https://www.postgresql.org/docs/current/errcodes-appendix.html
DEADLOCK = "40P01"
# SQLSTATEs of outages that psycopg does not count as operational errors.
TRANSIENT_SQLSTATES = {
    "0A000",  # feature_not_supported: a migration has changed the result of a prepared statement
    "25006",  # read_only_sql_transaction: a standby becomes the primary, or an operator has set the mode
    "25P02",  # in_failed_sql_transaction: an earlier statement failed
    "25P03",  # idle_in_transaction_session_timeout
    "25P04",  # transaction_timeout
    "26000",  # invalid_sql_statement_name: after a pooler has switched the connection
}
# The causes of outages by SQLSTATE, and by primary result code of SQLite (https://www.sqlite.org/rescode.html).
CAUSES: dict[str | int | None, OutageCause] = {
    "57014": OutageCause.STATEMENT_TIMEOUT,  # query_canceled
    "55P03": OutageCause.LOCK,  # lock_not_available
    DEADLOCK: OutageCause.LOCK,
    "25006": OutageCause.READ_ONLY,
    "53100": OutageCause.FULL,  # disk_full
    5: OutageCause.LOCK,  # SQLITE_BUSY
    6: OutageCause.LOCK,  # SQLITE_LOCKED
    8: OutageCause.READ_ONLY,
    9: OutageCause.STATEMENT_TIMEOUT,  # SQLITE_INTERRUPT
    13: OutageCause.FULL,
    14: OutageCause.CONNECTION,  # SQLITE_CANTOPEN
}
CONNECTION_CLASSES = ("08", "57P", "53300")  # connection_exception, operator_intervention, too_many_connections
ATTEMPTS = 5  # the first and up to four retries

P = ParamSpec("P")
R = TypeVar("R")


class _Explained(IntegrityError):
    """The database rejected a row. `explain` returns the reasons after the rollback."""

    def __init__(self, explain: Callable[[], list[FieldError]]) -> None:
        self.explain = explain
        super().__init__("The database rejected a row.")


@contextmanager
def explained_by(explain: Callable[[], list[FieldError]]) -> Iterator[None]:
    """Explain an IntegrityError of the block: `atomic_with_retry` calls `explain` after the rollback.

    It raises ValidationFailed with the returned problems. If there are none, it retries the function.
    """
    try:
        yield
    except IntegrityError as error:
        raise _Explained(explain) from error


def atomic_with_retry(function: Callable[P, R]) -> Callable[P, R]:
    """Run the function in a transaction, and retry it up to four times after a conflict with another writer.

    - A conflict is a deadlock that PostgreSQL resolved by ending this transaction, or a rejected row that
      `explained_by` does not explain: usually another row caused it that no longer exists.
    - A retry first waits for the registry's lock. Otherwise overlapping lists could end each other again and again.
    - Inside a transaction of the caller there is no retry: that transaction has failed, and the caller can retry it.
    - With the argument `dry_run=True`, the function writes nothing and runs without a transaction, which would take the
      write lock of SQLite.

    Raises:
        ValidationFailed: the database rejected a row, and the function of `explained_by` returned problems.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs.get("dry_run"):
            return function(*args, **kwargs)
        attempts = 1 if connection.in_atomic_block else ATTEMPTS
        for attempt in range(1, attempts + 1):
            try:
                with transaction.atomic():
                    if attempt > 1:
                        locks.acquire_registry_lock()
                    return function(*args, **kwargs)
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


@contextmanager
def may_be_lost() -> Iterator[None]:
    """Run the block in a transaction whose commit does not wait for a standby, so that a failover can lose it.

    Without it, a read that updates a counter would wait for a standby that is lost. If a transaction is open already,
    this does nothing: that transaction must not be lost. On SQLite there is no standby.
    """
    if connection.vendor != "postgresql" or connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit = local")
        yield


def is_outage(error: BaseException | None) -> bool:
    """Return whether the error means that the database was unreachable, full, read-only, locked or too slow.

    The API then returns 503 with Retry-After, so the client can retry. For other database errors it returns 500.
    """
    if isinstance(error, (OperationalError, InterfaceError)):
        return True
    return isinstance(error, Error) and _sqlstate(error) in TRANSIENT_SQLSTATES


def outage_cause(error: BaseException | None) -> OutageCause:
    """Return the cause of an outage."""
    cause = getattr(error, "__cause__", None)  # the error of the driver
    if (result := getattr(cause, "sqlite_errorcode", None)) is not None:
        return CAUSES.get(result & 0xFF, OutageCause.OTHER)
    state = getattr(cause, "sqlstate", None)
    if state is None or state.startswith(CONNECTION_CLASSES):
        return OutageCause.CONNECTION
    return CAUSES.get(state, OutageCause.OTHER)


def _sqlstate(error: Error) -> str | None:
    return getattr(error.__cause__, "sqlstate", None)
