"""The trigger that marks open transactions with changes, and the query that finds them. Decision 9 has the reasons.

Changes get their numbers in the order of the writes, and become visible in the order of the commits. Before the first
change of a transaction gets its number, the trigger takes a shared advisory lock. The number of the lock contains the
last number before that change; its upper 16 bits are WRITING. No transaction waits for the lock. It is released at the
end of the transaction. SQLite has one writer at a time, so it needs no such trigger.
"""

from typing import Any

from devices.db.triggers import definitions

WRITING = 7316
FIRST_OPEN = (
    "SELECT min((classid::int8 & 65535) << 32 | objid::int8) FROM pg_locks "
    f"WHERE locktype = 'advisory' AND objsubid = 1 AND classid::int8 >> 16 = {WRITING} "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()"
)

# The number of the last change, and the number after which open transactions write (NULL if there are none). PostgreSQL
# takes the snapshot of a statement before the statement reads the locks. So each number up to the last visible one is
# either visible itself, or after the number of a lock that the statement sees.
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
    """Install the trigger if it is missing or changed. Return whether that was the case."""
    return definitions.install(connection, SHIPPED)
