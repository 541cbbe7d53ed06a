"""The contact data of hospitals: validation, changes with their history, and names that come back."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError

from devices.access.actor import SYSTEM
from devices.models import Device, Hospital, HospitalAlias
from devices.registry import hospitals
from devices.registry.hospital_fields import CONTACT_FIELDS, clean_contact
from devices.tests.support.factories import device_payload, register

CONTACT = {
    "address": "Jalan Melati 5, Bandung",
    "email": "info@rs-harapan.example",
    "phone": "+62 22 555 0100",
    "region": "Jawa Barat",
    "domain": "rs-harapan.example",
}


@pytest.mark.parametrize(
    ("field", "value", "cleaned"),
    [
        ("address", " Jalan  Melati 5,\nBandung ", "Jalan Melati 5, Bandung"),
        ("email", " info@rs.example ", "info@rs.example"),
        ("phone", "(022) 555-0100 / 0101; 112 #7", "(022) 555-0100 / 0101; 112 #7"),
        ("phone", "+62\xa022 555 0100", "+62 22 555 0100"),
        ("region", "\u200bJawa Barat", "Jawa Barat"),
        ("domain", "RS-Harapan.Example.", "rs-harapan.example"),
        ("domain", "rumah-sakit.id", "rumah-sakit.id"),
        *((field, " ", "") for field in CONTACT_FIELDS),
    ],
)
def test_valid_contact_data_is_normalized(field: str, value: str, cleaned: str) -> None:
    assert clean_contact(field, value) == cleaned


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "a" * 501),
        ("address", "Jalan \u202eMelati"),
        ("email", "info"),
        ("email", "info@rs example"),
        ("phone", "call us"),
        ("phone", "12"),
        ("phone", "+()"),
        ("phone", "1" * 51),
        ("region", "x" * 101),
        ("domain", "https://rs.example"),
        ("domain", "rs.example/contact"),
        ("domain", "rs.example:443"),
        ("domain", "rs"),
        ("domain", "rs..example"),
        ("domain", "-rs.example"),
        ("domain", "192.0.2.1"),
        ("domain", f"{'a' * 60}." * 5 + "example"),
    ],
)
def test_invalid_contact_data_is_rejected(field: str, value: str) -> None:
    with pytest.raises(ValidationError):
        clean_contact(field, value)


def test_change_of_contact_data_is_recorded_once_and_changes_no_device(rs_a: Hospital) -> None:
    register(device_payload(1, device_holder=rs_a.name))
    hospitals.update(rs_a, CONTACT, SYSTEM)
    changed = Hospital.objects.get()
    assert {field: getattr(changed, field) for field in CONTACT_FIELDS} == CONTACT
    assert changed.updated_at > rs_a.updated_at
    assert changed.created_at == rs_a.created_at
    [record] = Hospital.history.filter(history_type="~")
    assert {field: getattr(record, field) for field in CONTACT_FIELDS} == CONTACT
    assert Device.history.count() == 1


def test_name_and_contact_data_change_together(rs_a: Hospital) -> None:
    register(device_payload(1, device_holder=rs_a.name))
    hospitals.update(rs_a, {**CONTACT, "name": "RSUD Harapan"}, SYSTEM)
    assert Hospital.history.filter(history_type="~").get().name == "RSUD Harapan"
    assert Device.history.count() == 2
    assert [row.name for row in HospitalAlias.objects.all()] == ["RS Harapan"]


def test_same_values_change_nothing(rs_a: Hospital) -> None:
    hospitals.update(rs_a, CONTACT, SYSTEM)
    before = Hospital.objects.values().get()
    hospitals.update(rs_a, {**CONTACT, "name": rs_a.name}, SYSTEM)
    assert Hospital.objects.values().get() == before
    assert Hospital.history.count() == 2


def test_updated_at_increases_if_the_clock_was_set_back(rs_a: Hospital) -> None:
    later = rs_a.updated_at + timedelta(hours=1)
    Hospital.objects.update(updated_at=later)
    hospitals.update(rs_a, {"region": "Bali"}, SYSTEM)
    assert Hospital.objects.get().updated_at > later


def test_merged_hospital_is_found_after_its_name_is_used_again(rs_a: Hospital, rs_b: Hospital) -> None:
    hospitals.merge([rs_a], rs_b, SYSTEM)
    hospitals.rename(rs_b, "RS Harapan", SYSTEM)
    assert Hospital.objects.resolve(rs_a.pk) == rs_b
    assert Hospital.objects.ids_including_merged() == [rs_b.pk, rs_a.pk]
    assert set(Hospital.objects.by_name(["rs harapan", "rs sehat"]).values()) == {rs_b}
