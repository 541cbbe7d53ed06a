"""The functions that write devices, their history, and the constraints of the database."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import Q

from devices import registry
from devices.access.actor import SYSTEM, Actor
from devices.accounts import api_keys
from devices.db import bulk
from devices.db.compiled import CompiledQuery
from devices.models import DEPARTED, HOLDER_CHANGED, ApiKey, Channel, Device, Hospital
from devices.tests.support.client import Api, issue
from devices.tests.support.clock import set_clock
from devices.tests.support.factories import device_item, device_payload, register
from devices.values.device_types import DeviceType
from devices.values.errors import ValidationFailed

pytestmark = pytest.mark.django_db


def one(device: Device) -> Any:
    return Device.objects.filter(pk=device.pk)


def history(device: Device) -> list[Any]:
    return list(Device.history.filter(id=device.pk).order_by("history_id"))


def test_every_change_records_the_values_of_its_time(rs_b: Hospital) -> None:
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    registry.update(one(device), {"device_name": "Renamed"}, SYSTEM)
    registry.transfer(one(device), rs_b, SYSTEM)
    registry.retire(one(device), SYSTEM)
    registry.restore([device.pk], SYSTEM)
    recorded = [
        (row.history_type, row.device_name, row.device_holder.name, row.history_change_reason)
        for row in history(device)
    ]
    assert recorded == [
        ("+", "Cuff 1", "RS Harapan", None),
        ("~", "Renamed", "RS Harapan", None),
        ("~", "Renamed", "RS Sehat", None),
        ("-", "Renamed", "RS Sehat", None),
        ("+", "Renamed", "RS Sehat", "restored"),
    ]


def test_history_has_the_previous_hospital(rs_b: Hospital) -> None:
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    registry.update(one(device), {"device_name": "Renamed"}, SYSTEM)
    registry.update(one(device), {"device_holder": "RS Sehat"}, SYSTEM)
    registry.transfer(one(device), None, SYSTEM)
    registry.update(one(device), {"device_holder": "RS Baru"}, SYSTEM)
    registry.retire(one(device), SYSTEM)
    registry.restore([device.pk], SYSTEM)
    recorded = [
        (row.history_type, getattr(row.history_previous_holder, "name", None), getattr(row.device_holder, "name", None))
        for row in history(device)
    ]
    assert recorded == [
        ("+", None, "RS Harapan"),
        ("~", "RS Harapan", "RS Harapan"),
        ("~", "RS Harapan", "RS Sehat"),
        ("~", "RS Sehat", None),
        ("~", None, "RS Baru"),
        ("-", "RS Baru", "RS Baru"),
        ("+", None, "RS Baru"),
    ]
    departures = (
        Device.history.filter(DEPARTED).order_by("history_id").values_list("history_previous_holder__name", flat=True)
    )
    assert list(departures) == ["RS Harapan", "RS Sehat"]


def test_history_has_the_replaced_name_and_mac() -> None:
    [device] = register(device_payload(1))
    registry.update(one(device), {"device_name": "Renamed"}, SYSTEM)
    registry.update(one(device), {"device_type": "CORPORATE"}, SYSTEM)
    registry.update(one(device), {"device_mac": "D0:61:AE:D4:58:FF", "device_name": "Again"}, SYSTEM)
    registry.retire(one(device), SYSTEM)
    registry.restore([device.pk], SYSTEM)
    assert [(row.history_type, row.history_previous_name, row.history_previous_mac) for row in history(device)] == [
        ("+", None, None),
        ("~", "Cuff 1", None),
        ("~", None, None),
        ("~", "Renamed", device.device_mac),
        ("-", None, None),
        ("+", None, None),
    ]


@pytest.mark.parametrize(
    ("index", "which"),
    [
        ("change_by_holder", Q()),
        ("change_by_departure", DEPARTED),
        ("change_by_departure", HOLDER_CHANGED),
        ("change_by_device", Q()),
    ],
)
def test_changes_of_a_hospital_or_device_are_read_in_order_from_an_index(index: str, which: Q) -> None:
    devices = register(*(device_payload(n, device_holder=f"RS {n % 100}") for n in range(1000)))
    registry.transfer(Device.objects.filter(pk__in=[device.pk for device in devices[::2]]), None, SYSTEM)
    hospital = devices[500].device_holder_id
    condition = {
        "change_by_holder": Q(device_holder=hospital),
        "change_by_departure": which & Q(history_previous_holder=hospital),
        "change_by_device": Q(id=devices[500].pk),
    }[index]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE devices_historicaldevice")  # otherwise the planner assumes an empty table
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
    plan = Device.history.filter(condition, history_id__gt=3).order_by("history_id")[:20].explain()
    assert index in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan


def test_history_has_user_key_channel_address_and_request() -> None:
    key = issue("ward app")
    Api(key.text).post("/api/devices", device_payload(1), **{"x-request-id": "request-7"})
    [row] = Device.history.all()
    assert (row.history_api_key, row.history_user, row.history_channel) == (key.key, None, Channel.API)
    assert (row.history_ip_address, row.history_request_id) == ("127.0.0.1", "request-7")

    user = get_user_model().objects.create_user("sari")
    actor = Actor(Channel.ADMIN, user_id=user.pk, ip_address="2001:db8::1", request_id="request-8")
    registry.transfer(Device.objects.all(), None, actor)
    registry.retire(Device.objects.all(), actor)
    last = Device.history.latest("history_id")
    assert (last.history_api_key, last.history_user, last.history_channel) == (None, user, Channel.ADMIN)
    assert (last.history_ip_address, last.history_request_id) == ("2001:db8::1", "request-8")


def test_recorded_address_is_that_of_the_trusted_proxies(api: Api, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 2
    api.post("/api/devices", device_payload(1), **{"x-forwarded-for": "6.6.6.6, 192.0.2.7, 10.0.0.1"})
    api.post("/api/devices", device_payload(2), **{"x-forwarded-for": "6.6.6.6"})
    api.post("/api/devices", device_payload(3), **{"x-forwarded-for": "x, nonsense, 10.0.0.1"})
    settings.TRUSTED_PROXIES = 0
    api.post("/api/devices", device_payload(4), **{"x-forwarded-for": "6.6.6.6"})
    addresses = Device.history.order_by("history_id").values_list("history_ip_address", flat=True)
    assert list(addresses) == ["192.0.2.7", "127.0.0.1", None, "127.0.0.1"]


def test_list_of_devices_and_new_hospital_are_recorded() -> None:
    register(device_payload(1, device_holder="RS Baru"), device_payload(2), device_payload(3, device_holder="RS Baru"))
    assert Device.history.filter(history_type="+").count() == 3
    assert [row.name for row in Hospital.history.all()] == ["RS Baru"]


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


def test_history_of_keys_has_every_change_but_no_digest() -> None:
    issued = issue("app")
    api_keys.rotate(issued.key, SYSTEM)
    api_keys.revoke(issued.key, SYSTEM)
    rows = ApiKey.history.filter(id=issued.key.pk).order_by("history_id")
    assert [(row.history_type, bool(row.expires_at), bool(row.revoked_at)) for row in rows] == [
        ("+", False, False),
        ("~", True, False),
        ("~", True, True),
    ]


# --- Constraints of the database, for every writer


@pytest.mark.parametrize(
    "invalid",
    [
        {"device_name": " Cuff"},
        {"device_name": ""},
        {"device_mac": "d0:61:ae:d4:58:94"},
        {"device_mac": "ABC"},
        {"device_type": "PHONE"},
        {"device_type": "consumer"},
    ],
)
def test_database_rejects_invalid_fields(invalid: dict[str, str]) -> None:
    register(device_payload(1))
    with pytest.raises(IntegrityError), transaction.atomic():
        Device.objects.update(**invalid)


@pytest.mark.parametrize("field", ["device_name", "device_mac"])
def test_database_rejects_a_second_device_with_the_same_name_or_mac(field: str) -> None:
    a, b = register(device_payload(1), device_payload(2))
    with pytest.raises(IntegrityError), transaction.atomic():
        one(b).update(**{field: getattr(a, field)})


@pytest.mark.parametrize("name", ["", " RS A", "RS A ", "unknown", "UNKNOWN", "rs harapan"])
def test_database_rejects_an_invalid_or_duplicate_hospital(rs_a: Hospital, name: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Hospital.objects.create(name=name)


def test_database_rejects_a_key_that_is_neither_generated_nor_legacy() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiKey.objects.create(name="x", digest="0" * 64)


def test_hospital_with_devices_cannot_be_deleted(rs_a: Hospital) -> None:
    register(device_payload(1, device_holder=rs_a.name))
    with pytest.raises(IntegrityError), transaction.atomic():
        rs_a.delete()


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
