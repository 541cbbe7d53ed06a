"""Triggers for servers of version 1.0 that still run after the migration to version 2.0. Only PostgreSQL has them.

In version 1.0 a key has one hospital (`hospital_id`), or all (null). Version 2.0 does not use this column. The triggers
copy the hospitals of a key between the two forms, so both versions see the keys that either issues or changes. Version
1.0 has no form for a key of several hospitals, or with allowed networks. For it, such a key has the hospital DENIED,
which does not exist: the key finds no device and cannot write.

The release after 2.0 drops the two columns and this module.
"""

from typing import Any

from django.db import transaction

from devices.db.triggers import definitions

DENIED = -1
NEW_FORM = 0  # the default in the history: version 2.0 has written the row
KEY, HISTORY, LIST = "devices_apikey", "devices_historicalapikey", "devices_apikey_hospitals"

# A key of version 2.0 gets the default of the column, DENIED.
KEY_ADDED = f""" BEGIN
        IF NEW.hospital_id IS NULL THEN
            NEW.all_hospitals := true;
        ELSIF NEW.hospital_id = {DENIED} AND NEW.all_hospitals AND NEW.allowed_networks = '' THEN
            NEW.hospital_id := NULL;
        END IF;
        RETURN NEW;
    END """

# Version 1.0 has issued a key, or merged its hospital.
KEY_WRITTEN = f""" BEGIN
        INSERT INTO {LIST} (apikey_id, hospital_id) VALUES (NEW.id, NEW.hospital_id) ON CONFLICT DO NOTHING;
        DELETE FROM {LIST} WHERE apikey_id = NEW.id AND hospital_id <> NEW.hospital_id;
        RETURN NULL;
    END """

# Version 2.0 has written the list of hospitals.
LIST_WRITTEN = f""" BEGIN
        UPDATE {KEY} AS key SET hospital_id = coalesce(
            (SELECT min(hospital_id) FROM {LIST} WHERE apikey_id = key.id HAVING count(*) = 1), {DENIED}
        ) WHERE id = coalesce(NEW.apikey_id, OLD.apikey_id) AND NOT all_hospitals AND allowed_networks = '';
        RETURN NULL;
    END """

HISTORY_ADDED = f""" BEGIN
        IF NEW.hospital_id = {NEW_FORM} THEN
            NEW.hospital_id := substring(NEW.hospital_ids FROM '^\\[(\\d+)\\]$')::bigint;
        ELSE
            SELECT all_hospitals, allowed_networks, page_size, sandbox, unknown_holder,
                '[' || coalesce((
                    SELECT string_agg(hospital_id::text, ',' ORDER BY hospital_id) FROM {LIST} WHERE apikey_id = key.id
                ), '') || ']'
            INTO NEW.all_hospitals, NEW.allowed_networks, NEW.page_size, NEW.sandbox, NEW.unknown_holder,
                NEW.hospital_ids
            FROM {KEY} AS key WHERE key.id = NEW.id;
            NEW.hospital_id := nullif(NEW.hospital_id, {DENIED});
        END IF;
        RETURN NEW;
    END """

TRIGGERS = {
    "devices_former_key_added": (KEY_ADDED, KEY, "BEFORE INSERT ON {} FOR EACH ROW"),
    "devices_former_key_written": (
        KEY_WRITTEN,
        KEY,
        "AFTER INSERT OR UPDATE OF hospital_id ON {} FOR EACH ROW"
        " WHEN (new.hospital_id > 0 AND pg_trigger_depth() = 0)",
    ),
    "devices_former_list_written": (
        LIST_WRITTEN,
        LIST,
        "AFTER INSERT OR DELETE OR UPDATE ON {} FOR EACH ROW WHEN (pg_trigger_depth() = 0)",
    ),
    "devices_former_history_added": (HISTORY_ADDED, HISTORY, "BEFORE INSERT ON {} FOR EACH ROW"),
}

# The columns of version 1.0. A database that a development version has migrated does not have them.
COLUMNS = f"""
    ALTER TABLE {KEY} ADD COLUMN IF NOT EXISTS hospital_id bigint DEFAULT {DENIED};
    ALTER TABLE {KEY} ALTER COLUMN hospital_id SET DEFAULT {DENIED};
    ALTER TABLE {HISTORY} ADD COLUMN IF NOT EXISTS hospital_id bigint DEFAULT {NEW_FORM};
    ALTER TABLE {HISTORY} ALTER COLUMN hospital_id SET DEFAULT {NEW_FORM};
"""
FOREIGN_KEYS = f"""
    SELECT format('ALTER TABLE {KEY} DROP CONSTRAINT %I', conname) FROM pg_constraint
    WHERE conrelid = '{KEY}'::regclass AND contype = 'f' AND confrelid = 'devices_hospital'::regclass
"""


def _on_postgresql() -> dict[str, str]:
    shipped: dict[str, str] = {}
    for name, (body, table, when) in TRIGGERS.items():
        shipped |= definitions.function(name, body)
        trigger = f"CREATE TRIGGER {name} {when.format(table)} EXECUTE FUNCTION {name}()"
        shipped[f"TRIGGER {name} ON {table}"] = trigger
    return shipped


SHIPPED = {"postgresql": _on_postgresql(), "sqlite": {}}


def install(connection: Any) -> bool:
    """Install missing and changed triggers, and their columns. Return whether there were any."""
    if not definitions.changed(connection, SHIPPED):
        return False
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for statement in COLUMNS.strip().split(";")[:-1]:
            cursor.execute(statement)
        cursor.execute(FOREIGN_KEYS)
        for [statement] in cursor.fetchall():
            cursor.execute(statement)
        return definitions.install(connection, SHIPPED)


def remove(connection: Any) -> None:
    definitions.drop(connection, SHIPPED)
