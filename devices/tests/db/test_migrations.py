"""The migrations create the whole schema on an empty database."""

import pytest
from django.core.management import call_command
from django.db import connection

from devices.db.triggers import append_only, counts, definitions, feed
from devices.models import AuditRetention

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_empty_database_is_migrated_with_its_triggers() -> None:
    call_command("migrate", "devices", "zero", verbosity=0)
    try:
        assert not [table for table in connection.introspection.table_names() if table.startswith("devices_")]
    finally:
        call_command("migrate", verbosity=0)
    for kind in (append_only, counts, feed):
        assert definitions.changed(connection, kind.SHIPPED) == []
    assert AuditRetention.objects.get().years == 6
    assert counts.find_drift() == []


def test_models_and_migrations_agree() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
