"""Triggers that maintain the counts of devices, for every writer and in the same transaction. See decision 7.

- PostgreSQL: each statement that writes devices appends the differences as new rows. No row is updated, so writers do
  not wait for each other. After every COMPACT_EVERY rows, a statement compacts them: it replaces the rows of a count by
  one row. It skips rows that another transaction has locked. A reader sees either the old rows or the new row.
- SQLite has one writer at a time, and one row for each count.
"""

from typing import Any

from django.db import connection, transaction

from devices.db import locks
from devices.db.triggers import definitions

COMPACT_EVERY = 256  # appended rows between two compactions

COLUMNS = "is_total, device_holder_id, device_type, number"

# The differences between the counts and the devices. A single statement reads both at the same point in time.
DIFFERENCES = """
    SELECT is_total, device_holder_id, device_type, CAST(sum(number) AS bigint) AS number
    FROM (
        SELECT false AS is_total, device_holder_id, device_type, count(*) AS number
        FROM devices_device GROUP BY device_holder_id, device_type
        UNION ALL SELECT true, NULL, device_type, count(*) FROM devices_device GROUP BY device_type
        UNION ALL SELECT is_total, device_holder_id, device_type, -number FROM devices_devicecount
    ) AS numbers
    GROUP BY is_total, device_holder_id, device_type HAVING sum(number) <> 0
"""

# --- PostgreSQL

ADDED = "SELECT device_holder_id, device_type, 1 AS number FROM added"
REMOVED = "SELECT device_holder_id, device_type, -1 AS number FROM removed"
EVENTS = {
    "insert": ("NEW TABLE AS added", ADDED),
    "delete": ("OLD TABLE AS removed", REMOVED),
    "update": ("OLD TABLE AS removed NEW TABLE AS added", f"{ADDED} UNION ALL {REMOVED}"),
}

COMPACT = f"""
        WITH many AS (
            SELECT unnest(array_agg(id)) AS id FROM devices_devicecount
            GROUP BY is_total, device_holder_id, device_type HAVING count(*) > 1
        ), free AS (
            SELECT id FROM devices_devicecount WHERE id IN (SELECT id FROM many) FOR UPDATE SKIP LOCKED
        ), folded AS (
            DELETE FROM devices_devicecount WHERE id IN (SELECT id FROM free) RETURNING {COLUMNS}
        )
        INSERT INTO devices_devicecount ({COLUMNS})
        SELECT is_total, device_holder_id, device_type, sum(number) FROM folded
        GROUP BY is_total, device_holder_id, device_type HAVING sum(number) <> 0
    """

APPEND = """ DECLARE
        due boolean;
    BEGIN
        WITH appended AS (
            INSERT INTO devices_devicecount ({columns})
            SELECT GROUPING(device_holder_id) = 1, device_holder_id, device_type, sum(number)
            FROM ({changes}) AS changes
            GROUP BY GROUPING SETS ((device_holder_id, device_type), (device_type)) HAVING sum(number) <> 0
            RETURNING id
        )
        SELECT bool_or(id % {every} = 0) INTO due FROM appended;
        IF due THEN
            PERFORM devices_fold_counts();
        END IF;
        RETURN NULL;
    END """

APPEND_TRUNCATED = f""" BEGIN
        INSERT INTO devices_devicecount ({COLUMNS})
        SELECT is_total, device_holder_id, device_type, -sum(number) FROM devices_devicecount
        GROUP BY is_total, device_holder_id, device_type;
        RETURN NULL;
    END """

TRIGGER = """
    CREATE TRIGGER {name} AFTER {event} ON devices_device {referencing}
    FOR EACH STATEMENT EXECUTE FUNCTION {name}()
"""

# Compaction leaves dead rows. Autovacuum must remove them while they are few.
VACUUM = """
    ALTER TABLE devices_devicecount SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)
"""


def _on_postgresql() -> dict[str, str]:
    shipped = definitions.function("devices_fold_counts", COMPACT, returns="void", language="sql")
    for event, (tables, changes) in {**EVENTS, "truncate": ("", "")}.items():
        name, referencing = f"devices_count_{event}", f"REFERENCING {tables}" if tables else ""
        body = APPEND.format(columns=COLUMNS, changes=changes, every=COMPACT_EVERY) if changes else APPEND_TRUNCATED
        shipped |= definitions.function(name, body)
        trigger = TRIGGER.format(name=name, event=event.upper(), referencing=referencing)
        shipped[f"TRIGGER {name} ON devices_device"] = trigger
    return shipped


# --- SQLite

ONE = "(is_total, ifnull(device_holder_id, 0), device_type)"
ONCE = f"CREATE UNIQUE INDEX IF NOT EXISTS devices_count_once ON devices_devicecount {ONE}"
ADD = f"ON CONFLICT {ONE} DO UPDATE SET number = number + excluded.number"

COUNT_IN = f"""
    INSERT INTO devices_devicecount ({COLUMNS})
    VALUES (false, NEW.device_holder_id, NEW.device_type, 1), (true, NULL, NEW.device_type, 1) {ADD};
"""
COUNT_OUT = f"""
    UPDATE devices_devicecount SET number = number - 1
    WHERE {ONE} = (false, ifnull(OLD.device_holder_id, 0), OLD.device_type);
    UPDATE devices_devicecount SET number = number - 1 WHERE {ONE} = (true, 0, OLD.device_type);
"""
COUNT_CHANGED = "OLD.device_holder_id IS NOT NEW.device_holder_id OR OLD.device_type <> NEW.device_type"

ACTIONS = {
    "insert": f"BEGIN {COUNT_IN} END",
    "delete": f"BEGIN {COUNT_OUT} END",
    "update": f"WHEN {COUNT_CHANGED} BEGIN {COUNT_OUT} {COUNT_IN} END",
}
ON_SQLITE = {
    f"TRIGGER devices_count_{event}": f"CREATE TRIGGER devices_count_{event} AFTER {event} ON devices_device {action}"
    for event, action in ACTIONS.items()
}

SHIPPED = {"postgresql": _on_postgresql(), "sqlite": ON_SQLITE}


def install(connection: Any) -> bool:
    """Install missing and changed triggers, and then correct the counts. Return whether there were any.

    The triggers count all writes from the end of the first transaction on. So the second one, which reads all devices,
    needs no lock of the table. If `migrate` is killed between the two, `check_counts` finds the difference.
    """
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        if not definitions.install(connection, SHIPPED):
            return False
        cursor.execute(VACUUM if connection.vendor == "postgresql" else ONCE)
    with transaction.atomic(using=connection.alias):
        locks.acquire_registry_lock()  # two concurrent corrections would both add the differences
        _reconcile(connection)
    return True


def remove(connection: Any) -> None:
    definitions.drop(connection, SHIPPED)


def find_drift() -> list[tuple[bool, int | None, str, int]]:
    """Return the wrong counts as tuples: is_total, id of the hospital, device type, and the number that is missing."""
    with connection.cursor() as cursor:
        cursor.execute(DIFFERENCES)
        return [(bool(is_total), *rest) for is_total, *rest in cursor.fetchall()]


def repair() -> None:
    """Install missing triggers and correct the counts. Other transactions can write in the meantime."""
    with transaction.atomic():
        locks.acquire_registry_lock()  # as in `install`
        install(connection)
        _reconcile(connection)


def _reconcile(connection: Any) -> None:
    """Add the differences to the counts."""
    conflict = "" if connection.vendor == "postgresql" else ADD
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO devices_devicecount ({COLUMNS}) {DIFFERENCES} {conflict}")
