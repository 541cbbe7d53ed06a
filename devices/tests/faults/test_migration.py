"""A migration runs while clients write: no write is lost, and failed requests succeed when they are retried."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from devices.tests.support.services.faults import TIMEOUT, Registry, Writers, eventually, times
from devices.tests.support.services.server import ROOT

SETTINGS = """
from cexup.settings import *
INSTALLED_APPS = [*INSTALLED_APPS, "later"]
"""
MIGRATION = '''
from django.db import migrations, models


def operations(Device):
    field = models.CharField(max_length=20, null=True)
    field.set_attributes_from_name("shelf")
    return field, models.Index("device_type", "device_name", name="device_by_type_and_name")


def forwards(apps, editor):
    """Do the same as AddField and AddIndex of the app `devices`."""
    Device = apps.get_model("devices", "Device")
    field, index = operations(Device)
    editor.add_field(Device, field)
    editor.add_index(Device, index)


def backwards(apps, editor):
    Device = apps.get_model("devices", "Device")
    field, index = operations(Device)
    editor.remove_index(Device, index)
    editor.execute("ALTER TABLE devices_device DROP COLUMN shelf")


class Migration(migrations.Migration):
    dependencies = [("devices", "__latest__")]
    operations = [migrations.RunPython(forwards, backwards)]
'''


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of `manage.py` with one more migration: a column and an index of the devices."""
    folder = tmp_path_factory.mktemp("later")
    (folder / "later" / "migrations").mkdir(parents=True)
    for path, text in {
        "later_settings.py": SETTINGS,
        "later/__init__.py": "",
        "later/migrations/__init__.py": "",
        "later/migrations/0001_shelf.py": MIGRATION.replace("__latest__", latest()),
    }.items():
        (folder / path).write_text(text)
    return {"PYTHONPATH": str(folder), "DJANGO_SETTINGS_MODULE": "later_settings"}


def latest() -> str:
    return max(path.stem for path in (ROOT / "devices/migrations").glob("0*.py"))


def test_migration_under_load_loses_no_write(registry: Registry, later: dict[str, str]) -> None:
    registry.manage("seed_devices", str(times(20_000, 2_000)))
    with Writers(registry) as writers:
        for _ in range(times(5, 1)):
            writers.wait_for(5)
            registry.manage("migrate", "-v0", "later", **later)
            writers.wait_for(5)
            registry.manage("migrate", "-v0", "later", "zero", **later)
        writers.wait_for(5)
    writers.check()
    assert set(writers.seen) <= {"503"}, writers.seen


@pytest.mark.skipif(not os.environ.get("TEST_DATABASE_URL"), reason="SQLite has no lock of a table")
def test_migration_behind_a_long_query_lets_writers_continue(
    registry: Registry, later: dict[str, str], tmp_path: Path
) -> None:
    """Without a limit, all writers would wait behind the migration until the query ends."""
    log = tmp_path / "migrate"
    with psycopg.connect(registry.environment["DATABASE_URL"]) as reader, Writers(registry) as writers:
        reader.execute("SELECT count(*) FROM devices_device")  # its transaction stays open
        run = [sys.executable, "manage.py", "migrate", "-v0", "later"]
        environment = {**registry.environment, **later, "DATABASE_LOCK_TIMEOUT": "1"}
        with log.open("wb") as stderr, subprocess.Popen(run, cwd=ROOT, env=environment, stderr=stderr) as process:
            eventually(lambda: log.read_text().count("Another transaction has a lock.") >= 2)
            writers.wait_for(10)
            assert process.poll() is None
            reader.rollback()
            assert process.wait(TIMEOUT) == 0
        writers.wait_for(5)
        registry.manage("migrate", "-v0", "later", "zero", **later)
    writers.check()
    assert set(writers.seen) <= {"503"}, writers.seen
