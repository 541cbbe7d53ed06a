"""Renaming and merging hospitals. The former names stay valid as aliases."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from devices import registry
from devices.access.actor import SYSTEM
from devices.models import ApiKey, Device, Hospital, HospitalAlias
from devices.registry import hospitals
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register
from devices.values.errors import ValidationFailed


@pytest.fixture
def misspelled(db: None) -> Hospital:
    return hospitals.get_or_create(["RS Harapn"], SYSTEM)["rs harapn"]


def hospital_of(device: Device) -> str | None:
    current = Device.objects.get(pk=device.pk).device_holder
    return current.name if current else None


def test_renamed_hospital_keeps_its_devices_and_is_found_by_both_names(rs_a: Hospital) -> None:
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    hospitals.rename(rs_a, "RSUD Harapan", SYSTEM)
    later = register(device_payload(2, device_holder=" rs HARAPAN "), device_payload(3, device_holder="RSUD Harapan"))
    assert [hospital_of(row) for row in (device, *later)] == ["RSUD Harapan"] * 3
    assert Hospital.history.filter(history_type="~").get().name == "RSUD Harapan"


def test_key_of_a_hospital_can_still_send_the_former_name(rs_a: Hospital, api_a: Api) -> None:
    hospitals.rename(rs_a, "RSUD Harapan", SYSTEM)
    assert api_a.post("/api/devices", device_payload(1, device_holder="RS Harapan")).status_code == 201
    for name in ("RS%20Harapan", "RSUD%20Harapan"):
        assert api_a.get(f"/api/devices?device_holder={name}").json()["pagination"]["total"] == 1
    assert api_a.post("/api/devices", device_payload(2, device_holder="RS Sehat")).status_code == 403


def test_hospital_can_be_renamed_to_its_former_name(rs_a: Hospital) -> None:
    for name in ("RSUD Harapan", "RS Harapan", "RS HARAPAN"):
        hospitals.rename(rs_a, name, SYSTEM)
    assert Hospital.objects.get().name == "RS HARAPAN"
    assert [row.name for row in HospitalAlias.objects.all()] == ["RSUD Harapan"]


def test_name_or_alias_of_another_hospital_is_rejected(rs_a: Hospital, rs_b: Hospital) -> None:
    hospitals.rename(rs_b, "RS Sehat Baru", SYSTEM)
    for name in ("rs sehat", "RS SEHAT BARU"):
        with pytest.raises(ValidationFailed) as rejected:
            hospitals.rename(rs_a, name, SYSTEM)
        assert "RS Sehat Baru" in str(rejected.value.problems[0].message)
    assert Hospital.history.filter(history_type="~").count() == 1


def test_merge_moves_devices_admins_and_keys(rs_a: Hospital, misspelled: Hospital, ratna: Any) -> None:
    [device] = register(device_payload(1, device_holder="RS Harapn"))
    issued = issue("ward app", hospitals=[misspelled])
    siti = User.objects.create_user("siti")
    misspelled.admins.add(siti, User.objects.get(first_name="Ibu Ratna"))
    assert hospitals.merge([misspelled], rs_a, SYSTEM) == {"devices": 1, "admins": 2, "keys": 1}
    assert hospital_of(device) == "RS Harapan"
    assert ApiKey.objects.get(pk=issued.key.pk).scope_hospitals == (rs_a,)
    assert {user.username for user in rs_a.admins.all()} == {"siti", "ratna@rs.example"}
    assert list(Hospital.objects.all()) == [rs_a]
    assert Device.history.latest("history_id").device_holder_id == rs_a.pk
    assert ApiKey.history.latest("history_id").hospital_ids == f"[{rs_a.pk}]"
    assert Hospital.history.latest("history_id").history_change_reason == f"merged into {rs_a.pk}"


def test_name_of_a_merged_hospital_creates_no_new_hospital(rs_a: Hospital, misspelled: Hospital, api: Api) -> None:
    hospitals.merge([misspelled], rs_a, SYSTEM)
    answer = api.post("/api/devices", device_payload(1, device_holder="rs harapn")).json()
    assert answer["data"][0]["device_holder"] == "RS Harapan"
    assert api.get("/api/devices?device_holder=RS%20Harapn").json()["pagination"]["total"] == 1
    assert Hospital.objects.count() == 1


def test_alias_survives_a_second_merge(rs_a: Hospital, rs_b: Hospital, misspelled: Hospital) -> None:
    hospitals.merge([misspelled], rs_a, SYSTEM)
    hospitals.merge([rs_a, rs_b], rs_b, SYSTEM)
    [device] = register(device_payload(1, device_holder="RS Harapn"))
    assert hospital_of(device) == "RS Sehat"
    assert Hospital.objects.resolve(misspelled.pk) == rs_b


def test_device_retired_before_a_merge_is_restored_to_the_remaining_hospital(
    rs_a: Hospital, misspelled: Hospital, api_a: Api, api_b: Api
) -> None:
    [device] = register(device_payload(1, device_holder="RS Harapn"))
    registry.retire(Device.objects.all(), SYSTEM)
    hospitals.merge([misspelled], rs_a, SYSTEM)
    assert api_a.get(f"/api/device/{device.pk}").status_code == 410
    assert api_b.get(f"/api/device/{device.pk}").status_code == 404
    registry.restore([device.pk], SYSTEM)
    assert hospital_of(device) == "RS Harapan"


def test_device_of_a_deleted_hospital_is_restored_without_a_hospital(rs_a: Hospital) -> None:
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    registry.retire(Device.objects.all(), SYSTEM)
    Hospital.objects.all().delete()
    registry.restore([device.pk], SYSTEM)
    assert hospital_of(device) is None
