"""Triggers that count devices, protect the audit records, order the change feed, and serve a former release."""

from collections.abc import Collection
from typing import Any

from devices.db.triggers import append_only, counts, definitions, feed, former_keys

# The modules of the triggers, each by the table that must exist before its triggers can be installed.
KINDS = {
    "devices_devicecount": counts,
    "devices_changefeed": feed,
    "devices_auditretention": append_only,
    "devices_apikey_hospitals": former_keys,
}


def install(connection: Any, tables: Collection[str]) -> None:
    """Recreate missing and changed triggers, as far as their tables are in `tables`.

    Every `migrate` ends with this call. One reason is SQLite: to alter a table, Django creates a new one, which has no
    triggers.
    """
    for table, kind in KINDS.items():
        if table in tables:
            kind.install(connection)


def unknown(connection: Any) -> list[str]:
    """Return the triggers of the registry's tables that this release does not ship, as `TRIGGER name [ON table]`."""
    shipped = {key for kind in KINDS.values() for key in kind.SHIPPED[connection.vendor]}
    return [key for key in definitions.installed(connection) if key.startswith("TRIGGER") and key not in shipped]
