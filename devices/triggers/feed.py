"""The trigger that announces a writer of changes, so that the change feed waits for it. On PostgreSQL only.

Before the first row of a transaction gets its number, the trigger takes a shared advisory lock with the number from
which that transaction writes. Nobody waits for the lock, and it ends with the transaction. sql.py reads it.
docs/decisions/0009 explains why. Migration 0008 creates the trigger too.
"""

from typing import Any

from django.db import transaction

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


def shipped(connection: Any) -> dict[str, str]:
    if connection.vendor != "postgresql":
        return {}
    return {
        "FUNCTION devices_change_begins()": definitions.function(connection, "devices_change_begins", BEGINS),
        "TRIGGER devices_change_begins ON devices_historicaldevice": TRIGGER,
    }


def install(connection: Any) -> bool:
    """Create the trigger unless it is as shipped; return whether it was not."""
    with transaction.atomic(using=connection.alias):
        objects = shipped(connection)
        if is_changed := bool(definitions.changed(connection, objects)):
            definitions.create(connection, objects)
    return is_changed
