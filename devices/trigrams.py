"""Indexes that find a part of a name or of a MAC address, on a PostgreSQL that has pg_trgm.

The extension comes with PostgreSQL's contrib package. A server that has none, or lets this role create none, migrates
and searches all the same, by reading the table. Like the triggers, the indexes are put in place after every `migrate`
where they are missing, so a server that has got the extension meanwhile gets them too. SQLite has nothing like it.
https://www.postgresql.org/docs/current/pgtrgm.html#PGTRGM-INDEX
"""

from typing import Any

from django.db import transaction

# The expressions are those that Django makes of `icontains` and `contains`. Of the history, what a device is called now
# needs no index, since the devices have one: so the history of a new device, most of what is written, costs none.
INDEXES = {
    "device_by_part": "devices_device USING gin (upper(device_name::text) gin_trgm_ops, device_mac gin_trgm_ops)",
    "former_by_part": (
        "devices_historicaldevice USING gin "
        "(upper(history_name_before::text) gin_trgm_ops, upper(history_mac_before::text) gin_trgm_ops) "
        "WHERE history_name_before IS NOT NULL OR history_mac_before IS NOT NULL"
    ),
    "retired_by_part": (
        "devices_historicaldevice USING gin "
        "(upper(device_name::text) gin_trgm_ops, upper(device_mac::text) gin_trgm_ops) WHERE history_type = '-'"
    ),
}
REPLACED = "change_by_part"  # had all of the history, at a third of what it cost to register a device

MISSING = "SELECT to_regclass(%s) IS NULL"
MAY_CREATE = """
    SELECT has_database_privilege(current_database(), 'CREATE')
    AND EXISTS (SELECT FROM pg_available_extension_versions WHERE name = 'pg_trgm' AND trusted)
"""
USABLE = "SELECT EXISTS (SELECT FROM pg_opclass WHERE opcname = 'gin_trgm_ops' AND pg_opclass_is_visible(oid))"


def install(connection: Any) -> None:
    """Create the indexes that are missing, where the server can."""
    if connection.vendor != "postgresql":
        return
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX IF EXISTS {REPLACED}")
        missing = [name for name in INDEXES if _is(cursor, MISSING, name)]
        if missing and _is(cursor, MAY_CREATE):
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        if missing and _is(cursor, USABLE):
            for name in missing:
                cursor.execute(f"CREATE INDEX {name} ON {INDEXES[name]}")


def remove(connection: Any) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"DROP INDEX IF EXISTS {', '.join(INDEXES)}")


def _is(cursor: Any, question: str, *params: str) -> bool:
    cursor.execute(question, params)
    return bool(cursor.fetchone()[0])
