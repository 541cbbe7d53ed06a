"""The functions that write devices."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError

from devices import registry
from devices.access.actor import SYSTEM
from devices.db import bulk
from devices.db.compiled import CompiledQuery
from devices.models import Device, Hospital
from devices.tests.support.clock import set_clock
from devices.tests.support.factories import device_item, device_payload, register
from devices.values.device_types import DeviceType
from devices.values.errors import ValidationFailed

pytestmark = pytest.mark.django_db


def one(device: Device) -> Any:
    return Device.objects.filter(pk=device.pk)


def history(device: Device) -> list[Any]:
    return list(Device.history.filter(id=device.pk).order_by("history_id"))


def test_failed_change_is_rolled_back_completely(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise RuntimeError("the history cannot be written")

    [device] = register(device_payload(1))
    monkeypatch.setattr(CompiledQuery, "insert_into", fail)
    for change in (
        lambda: registry.register([device_item(2, device_holder="RS Baru")], SYSTEM),
        lambda: registry.update(one(device), {"device_name": "x"}, SYSTEM),
        lambda: registry.transfer(one(device), Hospital.objects.create(name="RS C"), SYSTEM),
        lambda: registry.retire(one(device), SYSTEM),
    ):
        with pytest.raises(RuntimeError, match="the history cannot be written"):
            change()
    assert [(row.device_name, row.device_holder) for row in Device.objects.all()] == [("Cuff 1", None)]
    assert not Hospital.objects.filter(name="RS Baru").exists()


def test_changing_nothing_writes_nothing() -> None:
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    same = registry.update(one(device), device_item(1, device_holder="rs harapan"), SYSTEM)
    assert same.updated_at == device.updated_at
    assert registry.transfer(one(device), device.device_holder, SYSTEM) == 0
    assert len(history(device)) == 1


def test_each_device_gets_its_own_values_and_only_differences_count() -> None:
    a, b, c = register(device_payload(1), device_payload(2), device_payload(3))
    changed = registry.apply_changes(
        [
            (a, {"device_name": "A"}),
            (b, device_item(2)),
            (c, {"device_holder": "RS Baru", "device_type": "CORPORATE"}),
        ],
        SYSTEM,
    )
    assert len(changed) == 2
    rows = Device.objects.order_by("pk").values_list("device_name", "device_type", "device_holder__name")
    assert list(rows) == [
        ("A", "CONSUMER", None),
        ("Cuff 2", "CONSUMER", None),
        ("Cuff 3", "CORPORATE", "RS Baru"),
    ]
    assert Device.history.filter(history_type="~").count() == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("failure", ["a deadlock", "a row that no longer exists"])
def test_conflict_with_another_writer_is_retried(failure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Deadlock(Exception):
        sqlstate = "40P01"

    def fail(error: Exception) -> None:
        raise error from Deadlock()

    [device] = register(device_payload(1))
    failures = [OperationalError("deadlock") if failure == "a deadlock" else IntegrityError("unique")] * 2
    insert, update = bulk.insert, bulk.update
    monkeypatch.setattr(bulk, "insert", lambda *a, **k: fail(failures.pop()) if failures else insert(*a, **k))
    registry.register([device_item(2)], SYSTEM)
    assert not failures
    failures = [OperationalError("deadlock") if failure == "a deadlock" else IntegrityError("unique")] * 2
    monkeypatch.setattr(bulk, "update", lambda *a, **k: fail(failures.pop()) if failures else update(*a, **k))
    assert registry.update(one(device), {"device_name": "Renamed"}, SYSTEM).device_name == "Renamed"
    assert list(Device.objects.order_by("pk").values_list("device_name", flat=True)) == ["Renamed", "Cuff 2"]


def test_other_database_errors_are_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = []

    def fail(*_args: Any, **_kwargs: Any) -> None:
        attempts.append(1)
        raise OperationalError("disk full")

    monkeypatch.setattr(bulk, "insert", fail)
    with pytest.raises(OperationalError, match="disk full"):
        registry.register([device_item(1)], SYSTEM)
    assert len(attempts) == 1


def test_restored_device_has_its_old_id_and_registration_date() -> None:
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    registry.retire(one(device), SYSTEM)
    [restored] = registry.restore([device.pk], SYSTEM)
    stored = Device.objects.get()
    assert (stored.pk, stored.created_at, stored.device_holder) == (device.pk, device.created_at, device.device_holder)
    assert restored.updated_at >= device.updated_at
    assert register(device_payload(2))[0].pk > device.pk


def test_device_that_was_never_retired_cannot_be_restored() -> None:
    [device] = register(device_payload(1))
    for pk in (device.pk, 4711):
        with pytest.raises(ValidationFailed) as rejected:
            registry.restore([pk], SYSTEM)
        assert [problem.code for problem in rejected.value.problems] == ["gone"]


def test_device_whose_mac_is_in_use_again_is_not_restored() -> None:
    [device] = register(device_payload(1))
    registry.retire(one(device), SYSTEM)
    register(device_payload(2, device_mac=device_payload(1)["device_mac"]))
    with pytest.raises(ValidationFailed) as rejected:
        registry.restore([device.pk], SYSTEM)
    assert [(problem.field, problem.code) for problem in rejected.value.problems] == [("device_mac", "unique")]


def test_retired_devices_with_the_same_name_are_not_restored_together() -> None:
    devices = register(device_payload(1))
    registry.retire(one(devices[0]), SYSTEM)
    devices += register(device_payload(2, device_name=device_payload(1)["device_name"]))
    registry.retire(one(devices[1]), SYSTEM)
    with pytest.raises(ValidationFailed) as rejected:
        registry.restore([device.pk for device in devices], SYSTEM)
    assert [str(problem.message) for problem in rejected.value.problems] == [
        "Cuff 1: A device with this name is already registered."
    ]
    assert not Device.objects.exists()


@pytest.mark.parametrize("change", ["update", "transfer", "change_type", "restore"])
def test_updated_at_increases_even_if_the_clock_is_set_back(
    change: str, devices: dict[str, Device], rs_a: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = one(devices["free"])
    before = device.get().updated_at
    set_clock(monkeypatch, lambda: before - timedelta(hours=1))
    if change == "update":
        registry.update(device, {"device_name": "Renamed"}, SYSTEM)
    elif change == "transfer":
        registry.transfer(device, rs_a, SYSTEM)
    elif change == "change_type":
        registry.change_type(device, DeviceType.CORPORATE, SYSTEM)
    else:
        registry.retire(device, SYSTEM)
        registry.restore([devices["free"].pk], SYSTEM)
    assert device.get().updated_at == before + timedelta(milliseconds=1)
