"""The triggers: they count devices, protect records and order the change feed."""

from collections.abc import Collection
from typing import Any

from devices.db.triggers import append_only, counts, definitions, feed

# By the table without which a kind cannot be installed.
KINDS = {"devices_devicecount": counts, "devices_changefeed": feed, "devices_auditretention": append_only}


def install(connection: Any, tables: Collection[str]) -> None:
    """Recreate the triggers that are missing or changed, if their tables exist.

    Every `migrate` ends with this: to alter a table on SQLite, Django makes a new one, which has no triggers.
    """
    for table, kind in KINDS.items():
        if table in tables:
            kind.install(connection)


def unknown(connection: Any) -> list[str]:
    """Return the triggers of the registry's tables that this release does not ship."""
    shipped = {key for kind in KINDS.values() for key in kind.SHIPPED[connection.vendor]}
    return [key for key in definitions.installed(connection) if key.startswith("TRIGGER") and key not in shipped]
