"""Triggers that keep the counts of devices, on both databases.

Whoever writes devices, also past the registry and in plain SQL, changes their counts in the same transaction.
docs/decisions/0007 tells why it is done in this way.

- PostgreSQL: each statement that writes devices appends its differences as new rows. Nothing is updated, so writers
  never wait for each other. The statement whose rows get a number that FOLD_EVERY divides folds them: the rows of
  one count become a single one. It passes over rows that another fold has locked, so that it waits for nobody
  either, and readers see the rows before or the row after.
- SQLite, which has one writer at a time, keeps one row a count.
"""

from typing import Any

from django.db import transaction

FOLD_EVERY = 256  # rows: what a reader has to add up between two folds, at most, besides one a count

COLUMNS = "everywhere, device_holder_id, device_type, number"

# What the counts lack, in one statement: it sees the devices and their counts as of one instant.
DIFFERENCES = """
    SELECT everywhere, device_holder_id, device_type, CAST(sum(number) AS bigint) AS number
    FROM (
        SELECT false AS everywhere, device_holder_id, device_type, count(*) AS number
        FROM devices_device GROUP BY device_holder_id, device_type
        UNION ALL SELECT true, NULL, device_type, count(*) FROM devices_device GROUP BY device_type
        UNION ALL SELECT everywhere, device_holder_id, device_type, -number FROM devices_devicecount
    ) AS told
    GROUP BY everywhere, device_holder_id, device_type HAVING sum(number) <> 0
"""

# --- PostgreSQL

ADDED = "SELECT device_holder_id, device_type, 1 AS number FROM added"
REMOVED = "SELECT device_holder_id, device_type, -1 AS number FROM removed"
EVENTS = {
    "insert": ("NEW TABLE AS added", ADDED),
    "delete": ("OLD TABLE AS removed", REMOVED),
    "update": ("OLD TABLE AS removed NEW TABLE AS added", f"{ADDED} UNION ALL {REMOVED}"),
}

FOLD = f"""
    CREATE OR REPLACE FUNCTION devices_fold_counts() RETURNS void LANGUAGE sql SET search_path FROM CURRENT AS $$
        WITH many AS (
            SELECT unnest(array_agg(id)) AS id FROM devices_devicecount
            GROUP BY everywhere, device_holder_id, device_type HAVING count(*) > 1
        ), free AS (
            SELECT id FROM devices_devicecount WHERE id IN (SELECT id FROM many) FOR UPDATE SKIP LOCKED
        ), folded AS (
            DELETE FROM devices_devicecount WHERE id IN (SELECT id FROM free) RETURNING {COLUMNS}
        )
        INSERT INTO devices_devicecount ({COLUMNS})
        SELECT everywhere, device_holder_id, device_type, sum(number) FROM folded
        GROUP BY everywhere, device_holder_id, device_type HAVING sum(number) <> 0
    $$
"""

KEEP = """
    CREATE OR REPLACE FUNCTION devices_count_{event}() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
    AS $$ DECLARE
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
    END $$
"""

KEEP_TRUNCATED = f"""
    CREATE OR REPLACE FUNCTION devices_count_truncate() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
    AS $$ BEGIN
        INSERT INTO devices_devicecount ({COLUMNS})
        SELECT everywhere, device_holder_id, device_type, -sum(number) FROM devices_devicecount
        GROUP BY everywhere, device_holder_id, device_type;
        RETURN NULL;
    END $$
"""

TRIGGER = """
    CREATE OR REPLACE TRIGGER devices_count_{event} AFTER {event} ON devices_device {referencing}
    FOR EACH STATEMENT EXECUTE FUNCTION devices_count_{event}()
"""

# Folding leaves dead rows: they are cleared away while there are few.
VACUUM = """
    ALTER TABLE devices_devicecount SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)
"""


def _on_postgresql() -> list[str]:
    statements = [FOLD]
    for event, (tables, changes) in EVENTS.items():
        statements.append(KEEP.format(event=event, columns=COLUMNS, changes=changes, every=FOLD_EVERY))
        statements.append(TRIGGER.format(event=event, referencing=f"REFERENCING {tables}"))
    return [*statements, KEEP_TRUNCATED, TRIGGER.format(event="truncate", referencing=""), VACUUM]


# --- SQLite

ONE = "(everywhere, ifnull(device_holder_id, 0), device_type)"
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
MOVED = "OLD.device_holder_id IS NOT NEW.device_holder_id OR OLD.device_type <> NEW.device_type"


def _on_sqlite() -> list[str]:
    actions = {
        "insert": f"BEGIN {COUNT_IN} END",
        "delete": f"BEGIN {COUNT_OUT} END",
        "update": f"WHEN {MOVED} BEGIN {COUNT_OUT} {COUNT_IN} END",
    }
    return [ONCE] + [
        f"CREATE TRIGGER devices_count_{event} AFTER {event} ON devices_device {action}"
        for event, action in actions.items()
    ]


# --- Both

PRESENT = {
    "postgresql": "SELECT tgname FROM pg_trigger WHERE tgrelid = 'devices_device'::regclass AND NOT tgisinternal",
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'devices_device'",
}


def install(connection: Any) -> bool:
    """Put the triggers in place, and the counts right, if a trigger is missing; return whether one was."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        if not missing(connection):
            return False
        for statement in _on_postgresql() if connection.vendor == "postgresql" else _on_sqlite():
            cursor.execute(statement)
        reconcile(connection)  # PostgreSQL has locked the devices to create the triggers, SQLite the database
    return True


def missing(connection: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(PRESENT[connection.vendor])
        present = {row[0] for row in cursor.fetchall()}
    return not {f"devices_count_{event}" for event in _events(connection)} <= present


def remove(connection: Any) -> None:
    """Take away what `install` has put in place."""
    with connection.cursor() as cursor:
        for event in _events(connection):
            if connection.vendor == "postgresql":
                cursor.execute(f"DROP FUNCTION IF EXISTS devices_count_{event}() CASCADE")
            else:
                cursor.execute(f"DROP TRIGGER IF EXISTS devices_count_{event}")
        if connection.vendor == "postgresql":
            cursor.execute("DROP FUNCTION IF EXISTS devices_fold_counts()")


def reconcile(connection: Any) -> None:
    """Add to the counts what they lack."""
    conflict = "" if connection.vendor == "postgresql" else ADD
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO devices_devicecount ({COLUMNS}) {DIFFERENCES} {conflict}")


def _events(connection: Any) -> list[str]:
    return [*EVENTS, "truncate"] if connection.vendor == "postgresql" else list(EVENTS)
