"""`migrate` installs the triggers in every state of the migrations."""

from django.core.management import call_command
from django.db import connection

from devices.db.triggers import KINDS, definitions


def changed_triggers() -> list[str]:
    return [key for kind in KINDS.values() for key in definitions.changed(connection, kind.SHIPPED)]


def test_faked_migrations_of_an_existing_database_do_not_fail(db: None) -> None:
    for target in (["zero"], ["0001"], []):
        call_command("migrate", "devices", *target, fake=True, verbosity=0)
    assert changed_triggers() == []


def test_migrate_after_faked_migrations_installs_missing_triggers(db: None) -> None:
    for target in (["zero"], []):
        call_command("migrate", "devices", *target, fake=True, verbosity=0)
    for kind in KINDS.values():
        definitions.drop(connection, kind.SHIPPED)
    call_command("migrate", verbosity=0)
    assert changed_triggers() == []
