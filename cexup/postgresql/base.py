"""Django's PostgreSQL, which sees whether a kept connection still stands, and does not wait for ever."""

import re
import select
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import psycopg
from django.db.backends.postgresql import base

GRACE = 2.0  # seconds more than the server's own limit of a statement, after which it is taken for gone
UNITS = {"": 0.001, "ms": 0.001, "s": 1.0, "min": 60.0}
STATEMENT_TIMEOUT = re.compile(r"statement_timeout\s*=\s*'?(\d+)\s*(ms|s|min)?")

_patience: ContextVar[float | None] = ContextVar("patience", default=None)


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Wait only so long for the server within, for a connection as for an answer."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


class Cursor(base.ServerBindingCursor):
    """A cursor that has what is asked again and again planned once, unless the plan depends on what is asked.

    PostgreSQL would make one plan for all patterns: it reads every device in the order of their ids, which is right for
    a part that most names have, and reads the whole table for one that none has.
    """

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        if " LIKE " in query:
            options["prepare"] = False
        return super().execute(query, params, **options)  # type: ignore[misc]  # unknown to django-stubs


class DatabaseWrapper(base.DatabaseWrapper):
    patience: float | None = None  # seconds that a statement is waited for, where serving.py has limited them

    def get_connection_params(self) -> dict[str, Any]:
        params = super().get_connection_params()
        if limit := _patience.get():
            params["connect_timeout"] = max(2, round(limit))  # libpq knows no shorter one
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect, with a connection that ends when the server does not answer.

        A server that is stopped, or cut off from us, ends no statement by its `statement_timeout`, and nothing arrives
        by which we would know: whoever has set such a limit has us wait only a little longer than that.
        """
        connection: Any = super().get_new_connection(conn_params)
        if connection.cursor_factory is base.ServerBindingCursor:
            connection.cursor_factory = Cursor
        limit, wait = _seconds(str(conn_params.get("options") or "")), connection.wait

        def wait_for_so_long(generator: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            try:
                return wait(generator, interval, timeout or _patience.get() or limit or self.patience)
            except psycopg.errors._WaitTimeout as error:
                connection.pgconn.finish()  # its answer may come yet, and would be taken for another's
                raise psycopg.OperationalError("The server does not answer.") from error

        connection.wait = wait_for_so_long
        return connection

    def close_if_unusable_or_obsolete(self) -> None:
        """Keep no connection on which something failed: it may be to a server that was read-only, or have old plans."""
        if self.errors_occurred and not self.in_atomic_block:
            self.close()
        super().close_if_unusable_or_obsolete()

    def is_usable(self) -> bool:
        """Tell whether the server still holds the connection's other end.

        Each request asks before its first query (CONN_HEALTH_CHECKS). Django sends a query for it, which takes as long
        as one that answers something. But a server that goes away, or ends a connection, says so: between two
        queries there is nothing to read, unless it has done that.
        """
        connection: Any = self.connection
        if connection is None or connection.closed:
            return False
        ready = select.poll()
        ready.register(connection.fileno(), select.POLLIN)
        return not ready.poll(0)


def _seconds(options: str) -> float | None:
    """Return how long a statement may take by the connection's options, and GRACE; None if they say nothing."""
    found = STATEMENT_TIMEOUT.search(options)
    return int(found[1]) * UNITS[found[2] or ""] + GRACE if found and int(found[1]) else None
