"""Constraints of the database, for every writer."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from devices.models import ApiKey, Device, Hospital
from devices.tests.support.factories import device_payload, register

pytestmark = pytest.mark.django_db


def one(device: Device) -> Any:
    return Device.objects.filter(pk=device.pk)


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
