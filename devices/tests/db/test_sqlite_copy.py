"""A copy of `VACUUM INTO` replaces the file of a registry. `make drill` does the same with servers and many devices."""

import io
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection

from devices.db.triggers import counts
from devices.models import ChangeFeed, Device
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.factories import device_payload, register

FEED = "/api/devices/changes"

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'sqlite'", reason="PostgreSQL has no VACUUM INTO"),
]


def replace_database(copy: Path) -> None:
    """Stop using the database, delete its files, and use the copy instead."""
    path = Path(connection.settings_dict["NAME"])
    connection.close()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    copy.replace(path)


def test_copy_replaces_the_database(tmp_path: Path) -> None:
    api = Api(issue("client").text)
    register(*(device_payload(number, device_holder="RS Harapan") for number in range(1, 6)))
    before = list(Device.objects.order_by("pk").values())
    old = api.get(FEED).json()["pagination"]["cursor"]
    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(tmp_path / "copy")])
    [lost] = register(device_payload(6))
    ahead = api.get(FEED).json()["pagination"]["cursor"]
    replace_database(tmp_path / "copy")
    assert list(Device.objects.order_by("pk").values()) == before
    assert counts.find_drift() == []
    with pytest.raises(IntegrityError):
        Device.history.update(device_name="x")
    assert errors(api.get(f"{FEED}?since={ahead}")) == [(None, "cursor_too_old")]
    call_command("after_restore", stdout=io.StringIO())
    [newer] = register(device_payload(7))
    assert newer.pk > lost.pk
    for expired in (old, ahead):
        assert errors(api.get(f"{FEED}?since={expired}")) == [(None, "cursor_too_old")]
    assert len(api.get(FEED).json()["data"]) == 6
    assert ChangeFeed.objects.count() == 1
    call_command("check", "--database", "default")
