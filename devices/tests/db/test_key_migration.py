"""A key of one hospital, or of all, has the same access after the migration to keys of several hospitals."""

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.models import ApiKey, Hospital
from devices.tests.support.client import issue

pytestmark = pytest.mark.django_db(transaction=True)


def test_keys_keep_their_access_and_their_history() -> None:
    call_command("migrate", "devices", "0002", verbosity=0)
    try:
        apps = MigrationExecutor(connection).loader.project_state([("devices", "0002_last_use_of_keys")]).apps
        hospital: Any = apps.get_model("devices", "Hospital").objects.create(name="RS Lama", name_folded="rs lama")
        for number, owner in enumerate([hospital, None]):
            fields = {"name": f"app {number}", "hospital_id": owner and owner.pk}
            key = apps.get_model("devices", "ApiKey").objects.create(
                **fields, prefix=f"abcdefg{number}", digest=str(number) * 64
            )
            apps.get_model("devices", "HistoricalApiKey").objects.create(
                **fields, id=key.pk, prefix=key.prefix, history_date=timezone.now(), history_type="+"
            )
    finally:
        call_command("migrate", verbosity=0)
    limited, unrestricted = ApiKey.objects.order_by("pk")
    assert [(key.all_hospitals, [h.name for h in key.scope_hospitals]) for key in (limited, unrestricted)] == [
        (False, ["RS Lama"]),
        (True, []),
    ]
    history = ApiKey.history.order_by("id").values_list("all_hospitals", "hospital_ids")
    assert list(history) == [(False, f"[{limited.scope_hospitals[0].pk}]"), (True, "[]")]


def test_keys_keep_their_access_when_the_migration_is_reversed(rs_a: Hospital, rs_b: Hospital) -> None:
    issue("limited", hospitals=[rs_a], naming="both")
    issue("unrestricted")
    several = issue("several", hospitals=[rs_a, rs_b]).key
    near = issue("near", hospitals=[rs_a], allowed_networks="10.0.0.0/8").key
    for key, limit in ((near, "networks"), (several, "2 hospitals")):
        with pytest.raises(RuntimeError, match=f"API key {key.pk} is limited to {limit}"):
            call_command("migrate", "devices", "0002", verbosity=0)
        api_keys.revoke(key, SYSTEM)
    try:
        call_command("migrate", "devices", "0002", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("SELECT name, hospital_id, naming FROM devices_apikey WHERE revoked_at IS NULL ORDER BY 1")
            assert cursor.fetchall() == [("limited", rs_a.pk, "snake_case"), ("unrestricted", None, "snake_case")]
    finally:
        call_command("migrate", verbosity=0)
    keys = ApiKey.objects.order_by("name").values_list("name", "all_hospitals", "hospitals")
    assert keys[0] == ("limited", False, rs_a.pk)
    assert ("unrestricted", True, None) in keys


def test_keys_of_a_merged_hospital_move_with_its_devices() -> None:
    """Migration 0004 merges hospitals with equal names. A key of version 1.0 has the one that is deleted."""
    call_command("migrate", "devices", "0002", verbosity=0)
    try:
        apps = MigrationExecutor(connection).loader.project_state([("devices", "0002_last_use_of_keys")]).apps
        hospital, key = apps.get_model("devices", "Hospital"), apps.get_model("devices", "ApiKey")
        remaining = hospital.objects.create(name="RS Lama", name_folded="rs lama")
        merged = hospital.objects.create(name="RS  Lama", name_folded="rs  lama")
        pk = key.objects.create(name="app", prefix="abcdefgh", digest="0" * 64, hospital_id=merged.pk).pk
    finally:
        call_command("migrate", verbosity=0)
    assert [hospital.pk for hospital in ApiKey.objects.get(pk=pk).scope_hospitals] == [remaining.pk]
    if connection.vendor == "postgresql":  # servers of version 1.0 still read the column
        with connection.cursor() as cursor:
            cursor.execute("SELECT hospital_id FROM devices_apikey WHERE id = %s", [pk])
            assert cursor.fetchone() == (remaining.pk,)
