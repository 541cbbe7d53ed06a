"""`check` reports a changed trigger or trigger function, and `migrate` restores it."""

import pytest
from django.core import checks
from django.core.management import call_command
from django.db import connection, transaction

from devices.db.triggers import append_only, counts, definitions, feed
from devices.models import DeviceCount
from devices.tests.support.factories import device_payload, register
from devices.values.scope import UNRESTRICTED

POSTGRESQL = connection.vendor == "postgresql"
FUNCTION = """
    CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN {row}; END $$
"""
OTHER = "CREATE FUNCTION devices_other() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"

# Changes of triggers: the id of the warning, the object that it mentions, and the SQL of the change.
ON_POSTGRESQL = {
    "body of a records function": (
        "devices.W001",
        "FUNCTION devices_record_stays()",
        FUNCTION.format(name="devices_record_stays", row="OLD"),
    ),
    "body of the retention function": (
        "devices.W001",
        "FUNCTION devices_retention_stays()",
        FUNCTION.format(name="devices_retention_stays", row="NEW"),
    ),
    "search_path": (
        "devices.W001",
        "FUNCTION devices_record_stays()",
        "ALTER FUNCTION devices_record_stays() SET search_path TO other, public",
    ),
    "rights of a function": (
        "devices.W001",
        "FUNCTION devices_record_stays()",
        "ALTER FUNCTION devices_record_stays() SECURITY DEFINER",
    ),
    "function of a trigger": (
        "devices.W001",
        "TRIGGER devices_auditevent_stays_delete ON devices_auditevent",
        f"{OTHER} CREATE OR REPLACE TRIGGER devices_auditevent_stays_delete BEFORE DELETE ON devices_auditevent"
        " FOR EACH ROW EXECUTE FUNCTION devices_other()",
    ),
    "condition of a trigger": (
        "devices.W001",
        "TRIGGER devices_auditevent_stays_update ON devices_auditevent",
        "CREATE OR REPLACE TRIGGER devices_auditevent_stays_update BEFORE UPDATE ON devices_auditevent"
        " FOR EACH ROW WHEN (OLD.id < 0) EXECUTE FUNCTION devices_record_stays('created_at')",
    ),
    "state of a trigger": (
        "devices.W001",
        "TRIGGER devices_historicaldevice_stays_delete ON devices_historicaldevice",
        "ALTER TABLE devices_historicaldevice ENABLE REPLICA TRIGGER devices_historicaldevice_stays_delete",
    ),
    "body of a count function": (
        "devices.W002",
        "FUNCTION devices_count_insert()",
        FUNCTION.format(name="devices_count_insert", row="NULL"),
    ),
    "event of a count trigger": (
        "devices.W002",
        "TRIGGER devices_count_update ON devices_device",
        "DROP TRIGGER devices_count_update ON devices_device; CREATE TRIGGER devices_count_update AFTER UPDATE OF"
        " device_name ON devices_device FOR EACH STATEMENT EXECUTE FUNCTION devices_count_update()",
    ),
    "body of the feed function": (
        "devices.W004",
        "FUNCTION devices_change_begins()",
        FUNCTION.format(name="devices_change_begins", row="NULL"),
    ),
    "disabled feed trigger": (
        "devices.W004",
        "TRIGGER devices_change_begins ON devices_historicaldevice",
        "ALTER TABLE devices_historicaldevice DISABLE TRIGGER devices_change_begins",
    ),
}
REPLACED = "DROP TRIGGER {name}; CREATE TRIGGER {name} BEFORE {event} ON {table} BEGIN SELECT 1; END"
ON_SQLITE = {
    "deleting records": (
        "devices.W001",
        "TRIGGER devices_auditevent_stays_delete",
        REPLACED.format(name="devices_auditevent_stays_delete", event="DELETE", table="devices_auditevent"),
    ),
    "lowering the retention": (
        "devices.W001",
        "TRIGGER devices_auditretention_stays_update",
        REPLACED.format(name="devices_auditretention_stays_update", event="UPDATE", table="devices_auditretention"),
    ),
    "counting": (
        "devices.W002",
        "TRIGGER devices_count_insert",
        REPLACED.format(name="devices_count_insert", event="INSERT", table="devices_device"),
    ),
}
TAMPERING = ON_POSTGRESQL if POSTGRESQL else ON_SQLITE


def run(sql: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in [sql] if "$$" in sql else sql.replace("SELECT 1;", "SELECT 1\0").split(";"):
            cursor.execute(statement.replace("\0", ";"))


def problems() -> dict[str, str]:
    found = checks.run_checks(databases=["default"], tags=[checks.Tags.database])
    return {str(problem.id): problem.msg for problem in found}


@pytest.mark.django_db
@pytest.mark.parametrize("what", TAMPERING)
def test_check_reports_a_replaced_trigger_and_migrate_restores_it(what: str) -> None:
    id_, name, sql = TAMPERING[what]
    register(device_payload(1), device_payload(2))
    before = definitions.installed(connection)
    assert problems() == {}
    run(sql)
    assert list(problems()) == [id_]
    assert name in problems()[id_]
    register(device_payload(3))
    call_command("migrate", verbosity=0)
    assert problems() == {}
    restored = definitions.installed(connection)
    assert {key: restored[key] for key in before} == before
    assert counts.find_drift() == []
    assert DeviceCount.objects.total(UNRESTRICTED) == 3


@pytest.mark.django_db
def test_check_reports_a_trigger_that_the_release_does_not_ship() -> None:
    rest = "BEFORE INSERT ON devices_auditevent"
    if POSTGRESQL:
        run(f"{OTHER} CREATE TRIGGER quiet {rest} FOR EACH ROW EXECUTE FUNCTION devices_other()")
    else:
        run(f"CREATE TRIGGER quiet {rest} BEGIN SELECT 1; END")
    name = "TRIGGER quiet ON devices_auditevent" if POSTGRESQL else "TRIGGER quiet"
    assert problems() == {"devices.W005": f"These triggers are not part of this release: {name}."}


@pytest.mark.django_db
def test_second_migrate_recreates_no_trigger() -> None:
    for kind in (counts, feed, append_only):
        assert not kind.install(connection)


@pytest.mark.django_db
@pytest.mark.skipif(not POSTGRESQL, reason="SQLite has no temporary table that a trigger of another schema would read")
def test_temporary_table_does_not_replace_the_retention_table() -> None:
    register(device_payload(1))
    run("CREATE TEMP TABLE devices_auditretention (years int, pruning_before timestamptz)")
    try:
        run("INSERT INTO pg_temp.devices_auditretention VALUES (-9, now() + interval '9 years')")
        with pytest.raises(Exception, match="cannot be deleted"):
            run("DELETE FROM devices_historicaldevice")
    finally:
        run("DROP TABLE pg_temp.devices_auditretention")
