"""Change tables while requests use them: a limit on waiting for locks, and operations for migrations.

A statement that waits for a lock on a table also blocks all later requests that need the table. So `migrate` waits only
briefly, and tries again. A statement that has the lock must be short. To add an index or a constraint reads all rows,
but PostgreSQL has forms of both that do not block. SQLite has one writer at a time, and gets Django's own operations.
Decision 47 has the reasons. A test runs each new migration, and rejects what blocks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.postgres import operations as postgres
from django.db import NotSupportedError, OperationalError, migrations
from psycopg.pq import TransactionStatus

# https://www.postgresql.org/docs/current/errcodes-appendix.html
LOCK_ERRORS = {"55P03", "40P01"}  # lock_not_available, deadlock_detected

LEFT_INVALID = "SELECT true FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid"


@contextmanager
def lock_timeout(connection: Any, seconds: float) -> Iterator[None]:
    """Limit how long each statement of the block waits for a lock of PostgreSQL; 0: no limit.

    A limit that `options` in DATABASE_URL sets stays. SQLite always has the limit DATABASE_LOCK_TIMEOUT.
    """
    before = _lock_timeout(connection)
    if before not in ("", "0"):
        yield
        return
    _set_lock_timeout(connection, before and f"{round(seconds * 1000)}ms")
    try:
        yield
    finally:
        if _can_execute(connection):
            _set_lock_timeout(connection, before)


@contextmanager
def waiting_without_blocking(connection: Any) -> Iterator[None]:
    """Lift the limit for a statement whose waiting blocks no request: a concurrent build waits for old transactions."""
    before = _lock_timeout(connection)
    _set_lock_timeout(connection, "0")
    try:
        yield
    finally:
        if _can_execute(connection):
            _set_lock_timeout(connection, before)


def _can_execute(connection: Any) -> bool:
    """Return whether the connection is open, and its transaction has not failed. A rollback resets the limit."""
    if connection.needs_rollback:
        return False
    if connection.vendor != "postgresql":
        return True
    driver = connection.connection
    return driver is not None and not driver.closed and driver.info.transaction_status != TransactionStatus.INERROR


def is_lock_error(error: OperationalError) -> bool:
    """Return whether a statement ended because another transaction has a lock."""
    cause = error.__cause__
    is_busy = str(getattr(cause, "sqlite_errorname", "")).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
    return is_busy or getattr(cause, "sqlstate", None) in LOCK_ERRORS


def create_index(connection: Any, name: str, definition: str) -> None:
    """Create an index of PostgreSQL without blocking writers. In a transaction, which must be of a test, it blocks.

    definition: the SQL after ON, such as `devices_device USING gin (device_name)`.
    """
    if connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE INDEX {name} ON {definition}")
        return
    with waiting_without_blocking(connection), connection.cursor() as cursor:
        drop_invalid_index(connection, name)
        cursor.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")


def drop_invalid_index(connection: Any, name: str) -> None:
    """Drop the index that an interrupted concurrent build has left."""
    with connection.cursor() as cursor:
        cursor.execute(LEFT_INVALID, [name])
        if cursor.fetchone():
            cursor.execute(f"DROP INDEX CONCURRENTLY {name}")


class AddIndexConcurrently(migrations.AddIndex):
    """Add an index while others write. The migration needs `atomic = False`, and no other operation.

    If it is interrupted, the next `migrate` drops the unfinished index and builds it again.
    """

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        connection = schema_editor.connection
        if connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(connection.alias, model):
            return
        if connection.in_atomic_block:
            raise NotSupportedError("AddIndexConcurrently needs `atomic = False` in its migration.")
        with waiting_without_blocking(connection):
            drop_invalid_index(connection, schema_editor.quote_name(self.index.name))
            schema_editor.add_index(model, self.index, concurrently=True)


class AddConstraintNotValid(postgres.AddConstraintNotValid):
    """Add a check constraint that applies to new rows. On PostgreSQL it reads no row that exists."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        postgresql = schema_editor.connection.vendor == "postgresql"
        operation = postgres.AddConstraintNotValid if postgresql else migrations.AddConstraint
        operation.database_forwards(self, app_label, schema_editor, from_state, to_state)


class ValidateConstraint(postgres.ValidateConstraint):
    """Check the rows that exist, in a migration after that of AddConstraintNotValid. It blocks no request."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)


def _lock_timeout(connection: Any) -> str:
    """Return the current limit as PostgreSQL shows it; an empty text on SQLite."""
    if connection.vendor != "postgresql":
        return ""
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        return str(cursor.fetchone()[0])


def _set_lock_timeout(connection: Any, value: str) -> None:
    if value:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [value])
