"""The trigger by which the change feed knows of open transactions that write changes, and the statement that reads it.

Decision 9 has the reasons. Changes get their numbers in the order in which they are written, and become visible in the
order of the commits. Before the first row of a transaction gets its number, the trigger takes a shared advisory lock
with the last number before it; the upper 16 bits of the lock say what it is for. No transaction waits for the lock, and
it ends with the transaction. SQLite has one writer at a time, and no such trigger. Migration 0008 creates it too.
"""

from typing import Any

from devices.db.triggers import definitions

WRITING = 7316
FIRST_OPEN = (
    "SELECT min((classid::int8 & 65535) << 32 | objid::int8) FROM pg_locks "
    f"WHERE locktype = 'advisory' AND objsubid = 1 AND classid::int8 >> 16 = {WRITING} "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()"
)

# The last change, and the number after which another transaction is still writing (NULL: none is). A statement of
# PostgreSQL takes its snapshot first, and reads the locks afterwards. So every number up to the last that it sees is
# either visible, or behind a lock that it sees.
LAST_CHANGE = {
    vendor: f"SELECT coalesce((SELECT max(history_id) FROM devices_historicaldevice), 0), ({first_open})"
    for vendor, first_open in {"postgresql": FIRST_OPEN, "sqlite": "NULL"}.items()
}

BEGINS = f"""
    BEGIN
        IF coalesce(current_setting('devices.change_begun', true), '') = '' THEN
            PERFORM pg_advisory_xact_lock_shared(
                ({WRITING}::bigint << 48) | (last_value - CASE WHEN is_called THEN 0 ELSE 1 END)
            ) FROM devices_historicaldevice_history_id_seq;
            PERFORM set_config('devices.change_begun', 'yes', true);
        END IF;
        RETURN NULL;
    END """
TRIGGER = """
    CREATE TRIGGER devices_change_begins BEFORE INSERT ON devices_historicaldevice
    FOR EACH STATEMENT EXECUTE FUNCTION devices_change_begins()
"""
SHIPPED = {
    "postgresql": {
        **definitions.function("devices_change_begins", BEGINS),
        "TRIGGER devices_change_begins ON devices_historicaldevice": TRIGGER,
    },
    "sqlite": {},
}


def install(connection: Any) -> bool:
    return definitions.install(connection, SHIPPED)
