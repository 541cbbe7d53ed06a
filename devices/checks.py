"""What is checked before a start: `python manage.py check --database default`."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import connections

from devices.triggers import records

MIN_SQLITE = (3, 35)  # RETURNING: https://www.sqlite.org/releaselog/3_35_0.html
MIN_POSTGRESQL = 15


@register(Tags.database)
def database_is_supported(databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    return [problem for alias in databases or [] for problem in _check(connections[alias])]


def _check(connection: Any) -> list[CheckMessage]:
    if connection.vendor == "sqlite":
        if connection.Database.sqlite_version_info < MIN_SQLITE:
            hint = "Use a Python that was built with SQLite 3.35 or later."
            return [Error("SQLite is too old.", hint=hint, id="devices.E001")]
    elif connection.vendor == "postgresql":
        if connection.pg_version // 10_000 < MIN_POSTGRESQL:
            return [Error("PostgreSQL is too old.", hint="Use PostgreSQL 15 or later.", id="devices.E002")]
    else:
        hint = "Let DATABASE_URL begin with sqlite:// or postgres://."
        return [Error("The database is neither SQLite nor PostgreSQL.", hint=hint, id="devices.E003")]
    return _check_records(connection)


def _check_records(connection: Any) -> list[CheckMessage]:
    if records.RETENTION in connection.introspection.table_names() and records.missing(connection):
        told = "What is on record could be changed: a trigger is missing, or was switched off."
        return [Warning(told, hint="Run manage.py migrate, and ask who did it.", id="devices.W001")]
    return []
