"""Tell what the database cannot do now, but may in a moment, from what is our fault.

Whoever asked may ask the same again with the same Idempotency-Key, and loses nothing: 503 with Retry-After, not 500.
"""

from django.db import Error, InterfaceError, OperationalError

# Of what psycopg does not count among the operational errors: https://www.postgresql.org/docs/current/errcodes-appendix.html
PASSING = {
    "0A000",  # a plan that a migration has overtaken; all else that we ask is supported
    "25006",  # read-only: a standby that becomes the primary, or an operator who has his reasons
    "25P02",  # the transaction had failed before
    "25P03",  # it was idle for too long
    "25P04",  # it took too long
    "26000",  # the prepared statement has gone: a pooler has given us another connection
}


def is_outage(error: BaseException | None) -> bool:
    """Tell whether it is the database that was not there, full, read-only, locked or too slow."""
    if isinstance(error, (OperationalError, InterfaceError)):
        return True
    return isinstance(error, Error) and getattr(error.__cause__, "sqlstate", None) in PASSING
