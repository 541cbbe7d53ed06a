"""Each new migration runs on PostgreSQL. It must not block requests for long, nor break the last release.

A lock is long if the migration reads or writes many rows while it has the lock. PostgreSQL counts what a transaction
reads, also for ALTER TABLE and CREATE INDEX. So the check needs no list of statements, and covers SQL and Python code.
"""

from contextlib import nullcontext
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, migrations, models, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models import F, Q

from devices.db import online
from devices.models import Device, Hospital
from devices.tests.support.factories import device_payload, register
from devices.tests.support.migration_locks import FEW, LockWatch, unusable_columns
from devices.tests.support.services import former_release

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time"),
]

# Migrations up to this one are not checked. 0003 changes tables of keys and hospitals, which have few rows, and takes
# less than a second with 10,000 keys. The others change rows only, or add a column without a default.
LAST_UNCHECKED = ("devices", "0004_merge_equal_hospitals")


def test_new_migrations_do_not_block_requests(rows: None) -> None:
    call_command("migrate", *LAST_UNCHECKED, verbosity=0)
    try:
        watch = LockWatch(connection)
        executor = MigrationExecutor(connection)
        for migration, _backwards in executor.migration_plan([executor.loader.graph.leaf_nodes("devices")[0]]):
            with watch.watching():
                MigrationExecutor(connection).migrate([(migration.app_label, migration.name)])
        assert watch.problems == []
    finally:
        call_command("migrate", verbosity=0)


def test_the_last_release_can_use_the_tables() -> None:
    nodes = [("devices", name) for name in former_release.migrations()]
    state = MigrationExecutor(connection).loader.project_state(nodes)
    assert unusable_columns(connection, state.apps.get_app_config("devices").get_models()) == []


NOOP = migrations.RunPython.noop
INDEX = models.Index("device_type", "device_name", name="device_by_shelf")
CHECK = models.CheckConstraint(name="device_shelf", condition=~Q(device_name="#"))
UNIQUE = models.UniqueConstraint(fields=["device_name", "device_mac"], name="device_once")
REQUIRED = models.ForeignKey("devices.Hospital", models.PROTECT, related_name="devices")
SHELVES = migrations.CreateModel(
    "Shelf", [("id", models.BigAutoField(primary_key=True)), ("name", models.TextField())], {"app_label": "devices"}
)


def column(**options: Any) -> migrations.AddField:
    return migrations.AddField("device", "shelf", models.CharField(max_length=20, **options))


def write_all(apps: Any, _editor: Any) -> None:
    apps.get_model("devices", "Device").objects.update(updated_at=F("updated_at"))


def write_each(apps: Any, _editor: Any) -> None:
    for device in apps.get_model("devices", "Device").objects.all():
        device.save()


def watched(*operations: Any, atomic: bool = True) -> list[str]:
    """Apply the operations as a migration, revert them, and return the problems."""
    watch = LockWatch(connection)
    members = {"operations": list(operations), "atomic": atomic}
    migration = type("Migration", (migrations.Migration,), members)("later", "devices")
    state = MigrationExecutor(connection).loader.project_state()
    before = state.clone()
    with watch.watching(), transaction.atomic() if atomic else nullcontext():
        with connection.schema_editor(atomic=atomic) as editor:
            migration.apply(state, editor)
        if atomic:
            transaction.set_rollback(True)
            return watch.problems
    with connection.schema_editor(atomic=False) as editor:
        migration.unapply(before, editor)
    return watch.problems


@pytest.fixture
def rows(rs_a: Hospital) -> None:
    """More devices than a migration may read or write while it blocks requests."""
    register(*(device_payload(number, device_holder=rs_a.name) for number in range(FEW + 1)))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE devices_device")


ALLOWED: dict[str, list[Any]] = {
    "column": [column(null=True)],
    "column with a default": [column(default="", db_default="")],
    "constraint for new rows": [online.AddConstraintNotValid("device", CHECK)],
    "rows only": [migrations.RunPython(write_all)],
    "index of a new table": [SHELVES, migrations.AddIndex("shelf", models.Index("name", name="shelf_by_name"))],
}
REJECTED: dict[str, list[Any]] = {
    "index": [migrations.AddIndex("device", INDEX)],
    "check": [migrations.AddConstraint("device", CHECK)],
    "check that is validated at once": [
        online.AddConstraintNotValid("device", CHECK),
        online.ValidateConstraint("device", CHECK.name),
    ],
    "unique": [migrations.AddConstraint("device", UNIQUE)],
    "another type": [migrations.AlterField("device", "device_name", models.CharField(max_length=9))],
    "not null": [migrations.AlterField("device", "device_holder", REQUIRED)],
    "foreign key": [
        migrations.RunSQL("ALTER TABLE devices_device ADD FOREIGN KEY (device_holder_id) REFERENCES devices_hospital")
    ],
    "volatile default": [migrations.RunSQL("ALTER TABLE devices_device ADD shelf float DEFAULT random()")],
    "rows after a column": [column(null=True), migrations.RunPython(write_all)],
    "rows one by one": [column(null=True), migrations.RunPython(write_each)],
    "rows of a locked table": [migrations.RunSQL("LOCK devices_device"), migrations.RunPython(write_all)],
}


@pytest.mark.parametrize("name", ALLOWED)
def test_a_short_lock_is_allowed(name: str, rows: None) -> None:
    assert watched(*ALLOWED[name]) == []


@pytest.mark.parametrize("name", REJECTED)
def test_a_long_lock_is_rejected(name: str, rows: None) -> None:
    [problem, *_others] = watched(*REJECTED[name])
    assert "Lock of devices_device" in problem


def test_a_column_becomes_required_without_a_scan(rows: None) -> None:
    """PostgreSQL uses a constraint that an earlier migration has validated."""
    check = "ADD CONSTRAINT has_holder CHECK (device_holder_id IS NOT NULL)"
    required = migrations.RunSQL("ALTER TABLE devices_device ALTER device_holder_id SET NOT NULL")
    assert watched(required) != []
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE devices_device {check}")
        try:
            assert watched(required) == []
        finally:
            cursor.execute("ALTER TABLE devices_device DROP CONSTRAINT has_holder")


def test_an_index_is_added_while_others_write(rows: None) -> None:
    assert watched(online.AddIndexConcurrently("device", INDEX), atomic=False) == []
    assert watched(migrations.AddIndex("device", INDEX), atomic=False) != []


def test_a_column_that_the_last_release_cannot_fill_is_found() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE devices_device ADD shelf text NOT NULL, DROP COLUMN device_type CASCADE")
        found = unusable_columns(connection, [Device])
        transaction.set_rollback(True)
    assert found == ["devices_device.device_type does not exist", "devices_device.shelf needs a value"]
