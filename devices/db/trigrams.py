"""Indexes that find a part of a name or MAC address, on a PostgreSQL with pg_trgm (of its contrib package).

A server without the extension, or without the right to create it, reads the table instead. Every `migrate` creates the
indexes that are missing, so they appear once the server has the extension.
https://www.postgresql.org/docs/current/pgtrgm.html#PGTRGM-INDEX
"""

from typing import Any

from django.db import transaction

# The expressions are those that Django makes of `icontains` and `contains`. In history, only former values and retired
# devices are indexed: so the history of a new device, which is most of it, costs nothing.
INDEXES = {
    "device_by_part": "devices_device USING gin (upper(device_name::text) gin_trgm_ops, device_mac gin_trgm_ops)",
    "former_by_part": (
        "devices_historicaldevice USING gin "
        "(upper(history_previous_name::text) gin_trgm_ops, upper(history_previous_mac::text) gin_trgm_ops) "
        "WHERE history_previous_name IS NOT NULL OR history_previous_mac IS NOT NULL"
    ),
    "retired_by_part": (
        "devices_historicaldevice USING gin "
        "(upper(device_name::text) gin_trgm_ops, upper(device_mac::text) gin_trgm_ops) WHERE history_type = '-'"
    ),
}

# Django creates these for `LIKE 'x%'`, one for each unique text column. No query needs them, and each write would pay.
UNUSED = "devices_device_device_name_df4612ac_like", "devices_device_device_mac_511ac646_like"

MISSING = "SELECT to_regclass(%s) IS NULL"
CAN_CREATE_EXTENSION = """
    SELECT has_database_privilege(current_database(), 'CREATE')
    AND EXISTS (SELECT FROM pg_available_extension_versions WHERE name = 'pg_trgm' AND trusted)
"""
USABLE = "SELECT EXISTS (SELECT FROM pg_opclass WHERE opcname = 'gin_trgm_ops' AND pg_opclass_is_visible(oid))"


def install(connection: Any) -> None:
    """Create the indexes that are missing, if the server can, and drop the unused ones."""
    if connection.vendor != "postgresql":
        return
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX IF EXISTS {', '.join(UNUSED)}")
        missing = [name for name in INDEXES if _is(cursor, MISSING, name)]
        if missing and _is(cursor, CAN_CREATE_EXTENSION):
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
