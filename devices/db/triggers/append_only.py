"""Triggers that make the history and the audit log append-only for every writer. Decision 14 has the reasons.

- UPDATE and TRUNCATE are rejected.
- DELETE is rejected, except for rows past their retention while `prune` runs. `prune` writes a timestamp to
  `devices_auditretention`, and clears it in the same transaction.
- The same row has the years of retention, which can only be increased.
- Limit: the owner of the database can drop a trigger.

A migration that writes to history, or rebuilds `devices_auditretention`, must call `remove` first, with that table.
"""

from typing import Any

from django.conf import settings
from django.db import transaction

from devices.db.triggers import definitions

# The primary key and the time of each table.
RECORDS = {
    "devices_auditevent": ("id", "created_at"),
    "devices_historicaldevice": ("history_id", "history_date"),
    "devices_historicalhospital": ("history_id", "history_date"),
    "devices_historicalapikey": ("history_id", "history_date"),
}
RETENTION = "devices_auditretention"
TABLES = [*RECORDS, RETENTION]
APPEND_ONLY_MESSAGE = "Records cannot be changed, and cannot be deleted before the end of their retention."

# SQL for the time before which records are past their retention. It uses the clock of the database.
RETENTION_CUTOFF = {
    "postgresql": "now() - make_interval(years => years)",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%S', 'now', '-' || years || ' years')",  # Django's text format of a time
}

# --- PostgreSQL. The SQLSTATE makes the exception an IntegrityError, as on SQLite.

RECORD_STAYS = f""" BEGIN
        IF TG_OP = 'DELETE' THEN
            PERFORM FROM {RETENTION}
            WHERE (to_jsonb(OLD) ->> TG_ARGV[0])::timestamptz < pruning_before
            AND (to_jsonb(OLD) ->> TG_ARGV[0])::timestamptz < {RETENTION_CUTOFF["postgresql"]};
            IF FOUND THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION '{APPEND_ONLY_MESSAGE}' USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
    END """

RETENTION_STAYS = f""" BEGIN
        IF TG_OP = 'UPDATE' THEN
            IF NEW.years >= OLD.years THEN
                RETURN NEW;
            END IF;
        END IF;
        RAISE EXCEPTION '{APPEND_ONLY_MESSAGE}' USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
    END """


def _on_postgresql() -> dict[str, str]:
    shipped = definitions.function("devices_record_stays", RECORD_STAYS)
    shipped |= definitions.function("devices_retention_stays", RETENTION_STAYS)
    for table in TABLES:
        function = "devices_retention_stays()" if table == RETENTION else f"devices_record_stays('{RECORDS[table][1]}')"
        for event, each in (("update", "ROW"), ("delete", "ROW"), ("truncate", "STATEMENT")):
            name = f"{table}_stays_{event}"
            shipped[f"TRIGGER {name} ON {table}"] = (
                f"CREATE TRIGGER {name} BEFORE {event.upper()} ON {table} FOR EACH {each} EXECUTE FUNCTION {function}; "
                f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}"  # also if session_replication_role = replica
            )
    return shipped


# --- SQLite

REJECT = f"BEGIN SELECT RAISE(ABORT, '{APPEND_ONLY_MESSAGE}'); END"


def _on_sqlite() -> dict[str, str]:
    """Return the triggers by their key. INSERT OR REPLACE fires no DELETE trigger, so it has its own."""
    when = {
        (RETENTION, "update"): "WHEN NEW.years < OLD.years",
        (RETENTION, "delete"): "",
        (RETENTION, "insert"): f"WHEN EXISTS (SELECT 1 FROM {RETENTION})",
    }
    for table, (key, at) in RECORDS.items():
        past = f"OLD.{at} < pruning_before AND OLD.{at} < {RETENTION_CUTOFF['sqlite']}"
        when[table, "update"] = ""
        when[table, "delete"] = f"WHEN NOT EXISTS (SELECT 1 FROM {RETENTION} WHERE {past})"
        when[table, "insert"] = f"WHEN NEW.{key} > 0 AND EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key})"
    return {
        f"TRIGGER {name}": f"CREATE TRIGGER {name} BEFORE {event} ON {table} {condition} {REJECT}"
        for (table, event), condition in when.items()
        for name in [f"{table}_stays_{event}"]
    }


SHIPPED = {"postgresql": _on_postgresql(), "sqlite": _on_sqlite()}


def install(connection: Any) -> bool:
    """Install missing and changed triggers. Return whether there were any.

    The first call also stores AUDIT_YEARS as the retention.
    """
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        first_row = f"SELECT 1, CAST(%s AS integer) WHERE NOT EXISTS (SELECT 1 FROM {RETENTION})"
        cursor.execute(f"INSERT INTO {RETENTION} (id, years) {first_row}", [settings.AUDIT_YEARS])
        return definitions.install(connection, SHIPPED)


def remove(connection: Any, table: str = "") -> None:
    """Drop the triggers, or those of one table. `migrate` installs them again at its end. The retention is kept."""
    prefix = f"TRIGGER {table}_stays_" if table else ""
    vendor = connection.vendor
    definitions.drop(connection, {vendor: {key: sql for key, sql in SHIPPED[vendor].items() if key.startswith(prefix)}})
