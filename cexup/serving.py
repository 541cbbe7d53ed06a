"""What holds for a process that serves requests, and for no command: an import or a migration takes its time."""

from typing import Any

from django.conf import settings

from cexup.postgresql.base import GRACE

MILLISECONDS = 1000


def limit_statements(sender: Any, connection: Any, **_kwargs: Any) -> None:
    """Let a new connection to PostgreSQL end what takes too long, so that no request holds a thread for good.

    What is cut off is an OperationalError, and so a 503 with Retry-After. For SQLite see statement_limits.py.
    """
    if connection.vendor != "postgresql":
        return
    limits = {
        "statement_timeout": settings.DATABASE_STATEMENT_TIMEOUT,
        "lock_timeout": settings.DATABASE_LOCK_TIMEOUT,
        "idle_in_transaction_session_timeout": settings.DATABASE_STATEMENT_TIMEOUT,
    }
    own = str(connection.settings_dict["OPTIONS"].get("options") or "")  # what DATABASE_URL says wins
    chosen = [(name, str(seconds * MILLISECONDS)) for name, seconds in limits.items() if seconds and name not in own]
    if settings.DATABASE_STATEMENT_TIMEOUT:
        connection.patience = settings.DATABASE_STATEMENT_TIMEOUT + GRACE
    if chosen:
        with connection.cursor() as cursor:
            select = ", ".join(["set_config(%s, %s, false)"] * len(chosen))
            cursor.execute(f"SELECT {select}", [text for pair in chosen for text in pair])
