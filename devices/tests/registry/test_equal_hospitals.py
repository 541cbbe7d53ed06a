"""A migration merges hospitals that were stored before their names were compared in normalized form."""

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from devices.access.actor import SYSTEM
from devices.access.scopes import scope_for_key
from devices.models import ApiKey, Device, Hospital, HospitalAlias
from devices.registry import hospitals
from devices.registry.equal_hospitals import merge_equal_hospitals
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register


def stored(name: str, *numbers: int) -> Hospital:
    """Return a hospital with devices, as an earlier release stored it: with a folded name that is not normalized."""
    hospital = Hospital.objects.create(name=f"Hospital {Hospital.objects.count()}")
    Hospital.objects.filter(pk=hospital.pk).update(name=name, name_folded=name.casefold())
    for device in register(*(device_payload(number) for number in numbers)) if numbers else ():
        Device.objects.filter(pk=device.pk).update(device_holder=hospital)
    return Hospital.objects.get(pk=hospital.pk)


@pytest.mark.django_db
def test_hospitals_with_equal_names_become_the_one_with_most_devices() -> None:
    small, large, _other = stored("RS\u00a0Tes", 1), stored("RS  Tes\u200b", 2, 3), stored("RS Lain", 4)
    siti = User.objects.create_user("siti")
    small.admins.add(siti)
    key = issue("ward app", hospitals=[small])
    report = merge_equal_hospitals()
    assert {hospital.name: hospital.devices.count() for hospital in Hospital.objects.all()} == {
        "RS Tes": 3,
        "RS Lain": 1,
    }
    merged = Hospital.objects.get(name="RS Tes")
    assert merged.pk == large.pk
    assert list(merged.admins.all()) == [siti]
    assert Hospital.objects.resolve(small.pk) == merged
    assert Api(key.text).get("/api/devices?device_holder=rs tes").json()["pagination"]["total"] == 3
    assert [line.split(":")[0] for line in report] == [
        rf"Hospital {small.pk} 'RS\xa0Tes' was merged into {large.pk} 'RS  Tes\u200b'",
        rf"Hospital {large.pk} 'RS  Tes\u200b' was renamed to 'RS Tes'.",
    ]


@pytest.mark.django_db
def test_a_second_run_changes_nothing() -> None:
    stored("RS\u00a0Tes", 1), stored("RS Tes", 2)
    merge_equal_hospitals()
    changes = Device.history.count()
    assert merge_equal_hospitals() == []
    assert Device.history.count() == changes


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["\u200b", "unknown\u200b", "\ufeffUnknown"])
def test_a_name_that_means_no_hospital_becomes_a_visible_name(name: str) -> None:
    """The key stays limited to its hospital."""
    hospital = stored(name, 1)
    issue("ward app", hospitals=[hospital])
    merge_equal_hospitals()
    assert Hospital.objects.get().name == f"Hospital {hospital.pk}"
    assert scope_for_key(ApiKey.objects.get()).hospital_ids == [hospital.pk]


@pytest.mark.django_db
def test_aliases_are_found_by_their_normalized_names() -> None:
    tes = stored("RS Tes", 1)
    HospitalAlias.objects.create(hospital=tes, name="RS\u00a0Lama", name_folded="rs\u00a0lama")
    merge_equal_hospitals()
    assert hospitals.get_or_create(["RS Lama"], SYSTEM)["rs lama"] == tes


@pytest.mark.django_db(transaction=True)
def test_migrate_merges_equal_hospitals_and_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    stored("RS\u00a0Tes", 1), stored("RS Tes", 2)
    applied = MigrationRecorder(connection).migration_qs.filter(app="devices")
    later = list(applied.filter(name__gt="0004_merge_equal_hospitals").values())
    applied.filter(name__gte="0004_merge_equal_hospitals").delete()
    try:
        call_command("migrate", "devices", "0004_merge_equal_hospitals")
    finally:
        applied.bulk_create(applied.model(**row) for row in later)
    assert r"'RS\xa0Tes' was " in capsys.readouterr().out
    assert Hospital.objects.get().name == "RS Tes"
