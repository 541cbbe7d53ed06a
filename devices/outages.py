"""Tell outages of the database, which the client may retry (503 with Retry-After), from errors of ours (500)."""

from django.db import Error, InterfaceError, OperationalError

# SQLSTATEs of outages that psycopg does not count as operational errors.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
PASSING = {
    "0A000",  # a migration has changed the result of a prepared statement; nothing else unsupported is requested
    "25006",  # read-only: a standby that becomes the primary, or set by an operator
    "25P02",  # the transaction failed before
    "25P03",  # it was idle for too long
    "25P04",  # it took too long
    "26000",  # the prepared statement does not exist: a pooler gave us another connection
}


def is_outage(error: BaseException | None) -> bool:
    """Return whether the database was unreachable, full, read-only, locked or too slow."""
    if isinstance(error, (OperationalError, InterfaceError)):
        return True
    return isinstance(error, Error) and getattr(error.__cause__, "sqlstate", None) in PASSING
