"""Watch the statements of a migration on PostgreSQL, and find those that block requests for long."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

# Locks that block readers or writers. https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
BLOCKING = ["ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"]
LOCKS = """
    SELECT relname, max(mode) FROM pg_locks JOIN pg_class ON pg_class.oid = relation
    WHERE pid = pg_backend_pid() AND granted AND mode = ANY(%s) AND relname = ANY(%s) GROUP BY relname ORDER BY relname
"""
TABLES = "SELECT relname FROM pg_stat_user_tables WHERE schemaname = current_schema()"
# The work of the current transaction so far: scans of whole tables, and rows that it has read or written.
WORK = """
    SELECT relname, seq_scan, coalesce(idx_tup_fetch, 0) + n_tup_ins + n_tup_upd + n_tup_del
    FROM pg_stat_xact_user_tables WHERE schemaname = current_schema() AND starts_with(relname, 'devices_')
"""
FEW = 500  # rows
Work = dict[str, tuple[int, int]]


class LockWatch:
    """Collects one sentence for each statement that reads or writes many rows while a lock blocks requests."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.problems: list[str] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the statements of the block. A table that the block creates is not yet used by requests."""
        with self.connection.cursor() as cursor:
            cursor.execute(TABLES)
            self.used = [name for [name] in cursor.fetchall()]
        with self.connection.execute_wrapper(self._watch):
            yield

    def _watch(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        raw = self.connection.connection
        # The first statement of an atomic block begins its transaction.
        if self.connection.in_atomic_block or raw.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            return self._measure(raw, lambda: execute(sql, params, many, context), sql)
        # Without a transaction, the locks of the statement would be released before this can read them.
        raw.execute("BEGIN")
        try:
            result = self._measure(raw, lambda: execute(sql, params, many, context), sql)
        except psycopg.errors.ActiveSqlTransaction:  # CONCURRENTLY, which blocks no request
            raw.execute("ROLLBACK")
            return execute(sql, params, many, context)
        except BaseException as error:
            raw.execute("ROLLBACK")
            if isinstance(error.__cause__, psycopg.errors.ActiveSqlTransaction):
                return execute(sql, params, many, context)
            raise
        raw.execute("COMMIT")
        return result

    def _measure(self, raw: Any, run: Callable[[], Any], sql: Any) -> Any:
        before = self._work(raw)
        result = run()
        locks = raw.cursor().execute(LOCKS, [BLOCKING, self.used]).fetchall()
        for table, (scans, rows) in self._work(raw).items():
            scanned, moved = before.get(table, (0, 0))
            if locks and table in self.used and (scans > scanned or rows - moved > FEW):
                held = ", ".join(f"{mode} of {name}" for name, mode in locks)
                self.problems.append(f"{str(sql).strip()[:150]} … reads or writes {table} with {held}")
        return result

    def _work(self, raw: Any) -> Work:
        return {name: (scans, rows) for name, scans, rows in raw.cursor().execute(WORK).fetchall()}


def unusable_columns(connection: Any, models: Any) -> list[str]:
    """Return the columns with which code that has these models cannot read or write their tables."""
    problems = []
    for model in (model for model in models if not model._meta.proxy):
        table = model._meta.db_table
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT column_name, is_nullable = 'YES' OR column_default IS NOT NULL OR is_identity = 'YES'"
                " FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = %s",
                [table],
            )
            present = dict(cursor.fetchall())
        known = {field.column for field in model._meta.local_concrete_fields}
        problems += [f"{table}.{column} does not exist" for column in sorted(known - present.keys())]
        added = sorted(name for name, is_optional in present.items() if name not in known and not is_optional)
        problems += [f"{table}.{column} needs a value" for column in added]
    return problems
