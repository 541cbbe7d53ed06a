"""The history that changes of devices, hospitals and API keys leave."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import Q

from devices import registry
from devices.access.actor import SYSTEM, Actor
from devices.accounts import api_keys
from devices.models import DEPARTED, HOLDER_CHANGED, ApiKey, Channel, Device, Hospital
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register

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
