"""The trigger by which the change feed knows of open transactions that write changes. On PostgreSQL only.

Before the first row of a transaction gets its number, the trigger takes a shared advisory lock with the last number
before it. No transaction waits for the lock, and it ends with the transaction. sql.LAST_CHANGE reads it. Decision 9 has
the reason. Migration 0008 creates the trigger too.
"""

from typing import Any

from devices.triggers import definitions

BEGINS = """
    BEGIN
        IF coalesce(current_setting('devices.change_begun', true), '') = '' THEN
            PERFORM pg_advisory_xact_lock_shared(
                (7316::bigint << 48) | (last_value - CASE WHEN is_called THEN 0 ELSE 1 END)
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
