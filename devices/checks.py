"""What is checked before a start: `python manage.py check --database default`."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import connections

from devices import triggers
from devices.triggers import definitions

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
    return [*_check_triggers(connection), *_check_unknown_triggers(connection)]


RISKS = {
    "devices_auditretention": ("devices.W001", "Audit records could be changed or removed"),
    "devices_devicecount": ("devices.W002", "The counts of devices may be wrong"),
    "devices_changefeed": ("devices.W004", "The change feed may omit changes"),
}


def _check_triggers(connection: Any) -> list[CheckMessage]:
    """Compare the triggers with those shipped, as far as `migrate` has created their tables."""
    tables = connection.introspection.table_names()
    hint = "Run manage.py migrate, which recreates them. Unless this is an upgrade, find out who changed them."
    found: list[CheckMessage] = []
    for table, kind in triggers.KINDS.items():
        if table in tables and (keys := definitions.changed(connection, kind.shipped(connection))):
            id_, risk = RISKS[table]
            found.append(Warning(f"{risk}: missing, disabled or changed: {', '.join(keys)}.", hint=hint, id=id_))
    return found


def _check_unknown_triggers(connection: Any) -> list[CheckMessage]:
    if keys := triggers.unknown(connection):
        hint = "Find out who created them, and drop those that nobody needs."
        return [Warning(f"This release does not ship: {', '.join(keys)}.", hint=hint, id="devices.W005")]
    return []
