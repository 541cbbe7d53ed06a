"""Trigram indexes of PostgreSQL, which find parts of names and MAC addresses. They need the extension pg_trgm.

If the server does not have the extension, or the user must not create it, a search reads the whole table. Every
`migrate` creates missing indexes, so they are created as soon as the server has the extension.
https://www.postgresql.org/docs/current/pgtrgm.html#PGTRGM-INDEX
"""

from typing import Any

from devices.db import online

# Django creates these expressions for `icontains` and `contains`. Of the history, only replaced values and retired
# devices are indexed. So the history of new devices, which is most of the table, does not grow the indexes.
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

# Django creates these for `LIKE 'x%'`, one per unique text column. No query uses them, but each write updates them.
UNUSED = "devices_device_device_name_df4612ac_like", "devices_device_device_mac_511ac646_like"

INDEX_IS_MISSING = """
    SELECT NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(%s) AND indisvalid)
"""
CAN_CREATE_EXTENSION = """
    SELECT has_database_privilege(current_database(), 'CREATE')
    AND EXISTS (SELECT FROM pg_available_extension_versions WHERE name = 'pg_trgm' AND trusted)
"""
EXTENSION_IS_USABLE = (
    "SELECT EXISTS (SELECT FROM pg_opclass WHERE opcname = 'gin_trgm_ops' AND pg_opclass_is_visible(oid))"
)


def install(connection: Any) -> None:
    """Create the missing indexes if the server can, and drop the unused ones. SQLite has neither."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX IF EXISTS {', '.join(UNUSED)}")
        missing = [name for name in INDEXES if _is_true(cursor, INDEX_IS_MISSING, name)]
        if missing and _is_true(cursor, CAN_CREATE_EXTENSION):
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        if missing and _is_true(cursor, EXTENSION_IS_USABLE):
            for name in missing:
                online.create_index(connection, name, INDEXES[name])


def remove(connection: Any) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"DROP INDEX IF EXISTS {', '.join(INDEXES)}")


def _is_true(cursor: Any, query: str, *params: str) -> bool:
    cursor.execute(query, params)
    return bool(cursor.fetchone()[0])
