"""`dumpdata` and `loaddata` move a registry between SQLite and PostgreSQL without loss."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from devices.management.commands.loaddata import EXCLUDED
from devices.tests.support.services.cluster import cluster
from devices.tests.support.services.server import ROOT

FILL = """
from django.contrib.auth.models import User
from django.test import Client
from devices import registry
from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.models import Device, Hospital
from devices.registry import hospitals

def devices(hospital, *numbers):
    return [
        {"device_name": f"Cuff {n}", "device_mac": f"00:1F:2B:00:00:{n:02X}", "device_type": "CORPORATE",
         "device_holder": hospital} for n in numbers
    ]

registry.register(devices("RS Harapan", *range(8)) + devices("RS Café 🏥", 8) + devices(None, 9), SYSTEM)
registry.retire(Device.objects.filter(device_name__in=["Cuff 0", "Cuff 9"]), SYSTEM)  # the first and the last id
harapan, cafe = Hospital.objects.order_by("pk")
hospitals.rename(harapan, "RS Harapan Baru", SYSTEM)
hospitals.merge([cafe], harapan, SYSTEM)  # the last id of a hospital
root = User.objects.create_superuser("root", "root@example.org", "a long and quiet sentence")
siti = User.objects.create_user("siti@example.org", "siti@example.org", "another long and quiet one", is_staff=True)
harapan.admins.add(siti)
User.objects.create_user("gone").delete()
Client().force_login(root)  # writes a session and an audit event
key = api_keys.issue("ward app", SYSTEM, hospitals=[harapan]).text
headers = {"x-api-key": key, "Idempotency-Key": "once", "Host": "localhost"}
body = {"device_name": "Watch", "device_mac": "00:1F:2B:00:00:AA", "device_type": "CONSUMER"}
assert Client().post("/api/devices", body, content_type="application/json", headers=headers).status_code == 201
assert Client().get("/api/devices/changes", headers=headers).status_code == 200
"""
IDS = """
from django.contrib.auth.models import User
from devices import registry
from devices.access.actor import SYSTEM
from devices.models import Device, Hospital

item = {"device_name": "New", "device_mac": "00:1F:2B:00:00:FF", "device_type": "CONSUMER", "device_holder": "RS Baru"}
[pk] = registry.register([item], SYSTEM).ids
last = Device.history.order_by("-history_id").first()
print(pk, Hospital.objects.get(name="RS Baru").pk, User.objects.create_user("new").pk, last.history_id)
"""


class Registry:
    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.manage("migrate", "--verbosity=0")

    def manage(self, *words: str, **options: Any) -> str:
        environment = os.environ | {"DATABASE_URL": self.url, "ALLOWED_HOSTS": "localhost"}
        command = [sys.executable, str(ROOT / "manage.py"), *words]
        run = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True, **options)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def dump(self) -> Path:
        """Write all rows to a file, and return its path."""
        path = self.folder / "dump.json"
        self.manage("dumpdata", "--output", str(path))
        return path

    def load(self, dump: Path) -> None:
        self.manage("loaddata", str(dump), "--verbosity=0")
        assert self.manage("check_counts") == "All counters match.\n"


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with cluster() as server:
        yield server.url


def test_a_registry_moves_between_sqlite_and_postgresql(tmp_path: Path, postgres_url: str) -> None:
    """All rows stay the same, and ids of deleted devices, hospitals and users are not reused."""
    folders = [tmp_path / name for name in ("source", "postgresql", "target")]
    for folder in folders:
        folder.mkdir()
    urls = [f"sqlite:///{folders[0]}/db.sqlite3", postgres_url, f"sqlite:///{folders[2]}/db.sqlite3"]
    source, middle, target = (Registry(folder, url) for folder, url in zip(folders, urls, strict=True))
    source.manage("shell", "--no-imports", input=FILL)
    middle.load(source.dump())
    target.load(middle.dump())
    assert _rows(middle) == _rows(source)
    assert _rows(target) == _rows(source)
    new_ids = {registry.manage("shell", "--no-imports", input=IDS) for registry in (source, middle, target)}
    assert len(new_ids) == 1, new_ids


def _rows(registry: Registry) -> dict[tuple[str, object], object]:
    # A time of 12.0004 s is dumped as 12.000, and the loaded time as 12.
    text = registry.dump().read_text().replace('.000Z"', 'Z"')
    found = {(row["model"], row["pk"]): row["fields"] for row in json.loads(text)}
    models = {model for model, _pk in found}
    assert {
        f"devices.{name}" for name in ("auditevent", "changefeed", "historicaldevice", "idempotencyrecord")
    } <= models
    return {key: fields for key, fields in found.items() if not key[0].startswith(EXCLUDED)}


@pytest.mark.django_db(transaction=True)
def test_a_dump_is_not_loaded_into_a_database_with_records(operator: Any, tmp_path: Path) -> None:
    dump = str(tmp_path / "dump.json")
    call_command("dumpdata", output=dump)
    with pytest.raises(CommandError, match="empty database"):
        call_command("loaddata", dump, verbosity=0)
