"""Triggers that keep what is on record: history and audit events are added to, and neither changed nor removed.

Whoever writes, in whatever way: an UPDATE is refused, a DELETE too, but for rows past their time while `prune` runs,
and on PostgreSQL a TRUNCATE. docs/decisions/0014 tells why it is done in this way, and what it cannot hold.

`prune` opens the way by an instant in `devices_auditretention`, in the transaction in which it removes, and takes it
away again before that ends: nobody else ever sees it. The years that records are kept stand there too. They can be
raised, and not lowered: that is the database owner's to do, who can drop a trigger.

A migration that alters `devices_auditretention` has to `remove` them first, and so has one that writes to history.
"""

from typing import Any

from django.conf import settings
from django.db import transaction

RECORDS = {
    "devices_auditevent": ("id", "at"),
    "devices_historicaldevice": ("history_id", "history_date"),
    "devices_historicalhospital": ("history_id", "history_date"),
    "devices_historicalapikey": ("history_id", "history_date"),
}
RETENTION = "devices_auditretention"
TABLES = [*RECORDS, RETENTION]
REFUSAL = "Records are neither changed nor removed before their time."

# The instant before which records are past their time, by the database's own clock.
KEPT_SINCE = {
    "postgresql": "now() - make_interval(years => years)",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%S', 'now', '-' || years || ' years')",  # as Django writes an instant
}

# --- PostgreSQL. An integrity error, as SQLite's is.

RECORD_STAYS = f"""
    CREATE OR REPLACE FUNCTION devices_record_stays() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
    AS $$ BEGIN
        IF TG_OP = 'DELETE' THEN
            PERFORM FROM {RETENTION}
            WHERE (to_jsonb(OLD) ->> TG_ARGV[0])::timestamptz < pruning_before
            AND (to_jsonb(OLD) ->> TG_ARGV[0])::timestamptz < {KEPT_SINCE["postgresql"]};
            IF FOUND THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
    END $$
"""

RETENTION_STAYS = f"""
    CREATE OR REPLACE FUNCTION devices_retention_stays() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
    AS $$ BEGIN
        IF TG_OP = 'UPDATE' THEN
            IF NEW.years >= OLD.years THEN
                RETURN NEW;
            END IF;
        END IF;
        RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
    END $$
"""


def _on_postgresql() -> list[str]:
    statements = [RECORD_STAYS, RETENTION_STAYS]
    for table in TABLES:
        function = "devices_retention_stays()" if table == RETENTION else f"devices_record_stays('{RECORDS[table][1]}')"
        for event, each in (("update", "ROW"), ("delete", "ROW"), ("truncate", "STATEMENT")):
            name = _name(table, event)
            on = f"BEFORE {event} ON {table} FOR EACH {each}"
            statements.append(f"CREATE OR REPLACE TRIGGER {name} {on} EXECUTE FUNCTION {function}")
            statements.append(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")  # also for who says it replicates
    return statements


# --- SQLite

REFUSE = f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"


def _on_sqlite() -> list[str]:
    """Return the triggers. REPLACE removes a row past what watches over DELETE, so it is refused itself."""
    conditions = {(RETENTION, "update"): "WHEN NEW.years < OLD.years", (RETENTION, "delete"): ""}
    for table, (key, at) in RECORDS.items():
        past = f"OLD.{at} < pruning_before AND OLD.{at} < {KEPT_SINCE['sqlite']}"
        conditions[table, "update"] = ""
        conditions[table, "delete"] = f"WHEN NOT EXISTS (SELECT 1 FROM {RETENTION} WHERE {past})"
        conditions[table, "insert"] = f"WHEN NEW.{key} > 0 AND EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key})"
    conditions[RETENTION, "insert"] = f"WHEN EXISTS (SELECT 1 FROM {RETENTION})"
    return [
        f"CREATE TRIGGER IF NOT EXISTS {_name(table, event)} BEFORE {event} ON {table} {condition} {REFUSE}"
        for (table, event), condition in conditions.items()
    ]


# --- Both

PRESENT = {
    "postgresql": "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'devices%stays%' AND tgenabled = 'A'",
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'devices%stays%'",
}
LAST_EVENT = {"postgresql": "truncate", "sqlite": "insert"}


def install(connection: Any) -> bool:
    """Put the triggers in place if one is missing, and tell whether one was. The first time, keep AUDIT_YEARS too."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        if is_missing := missing(connection):
            for statement in _on_postgresql() if connection.vendor == "postgresql" else _on_sqlite():
                cursor.execute(statement)
        cursor.execute(f"SELECT years FROM {RETENTION}")
        if cursor.fetchone() is None:
            cursor.execute(f"INSERT INTO {RETENTION} (id, years) VALUES (1, %s)", [settings.AUDIT_YEARS])
    return is_missing


def missing(connection: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(PRESENT[connection.vendor])
        present = {row[0] for row in cursor.fetchall()}
    return not {_name(table, event) for table in TABLES for event in _events(connection)} <= present


def remove(connection: Any) -> None:
    """Take away what `install` has put in place, but for the years."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for function in ("devices_record_stays", "devices_retention_stays"):
                cursor.execute(f"DROP FUNCTION IF EXISTS {function}() CASCADE")
            return
        for table in TABLES:
            for event in _events(connection):
                cursor.execute(f"DROP TRIGGER IF EXISTS {_name(table, event)}")


def _name(table: str, event: str) -> str:
    return f"{table}_stays_{event}"


def _events(connection: Any) -> list[str]:
    return ["update", "delete", LAST_EVENT[connection.vendor]]
