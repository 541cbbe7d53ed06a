"""What the database does by itself, by triggers on both databases: it counts devices, and keeps what is on record."""

from collections.abc import Collection
from typing import Any

from devices.triggers import counts, records

KINDS = {"devices_devicecount": counts, "devices_auditretention": records}  # by the table that each began with


def install(connection: Any, tables: Collection[str]) -> None:
    """Put in place what is missing, as far as the tables are there.

    It is asked after every `migrate`: where SQLite alters a table, Django makes a new one, which has no triggers.
    """
    for table, kind in KINDS.items():
        if table in tables:
            kind.install(connection)
