"""Operators rename and merge hospitals; hospital admins see their own."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from devices.access.actor import SYSTEM
from devices.accounts import users
from devices.models import Device, Hospital
from devices.registry import hospitals
from devices.tests.support.client import issue
from devices.tests.support.factories import device_payload, register

HOSPITALS = "/admin/devices/hospital/"


def act(client: Client, *chosen: Hospital, **fields: Any) -> Any:
    selection = {"action": "merge", "_selected_action": [hospital.pk for hospital in chosen]}
    return client.post(HOSPITALS, selection | fields, follow=True)


def test_list_shows_the_numbers_of_devices_and_admins(operator: Client, ratna: Client, rs_a: Hospital) -> None:
    register(device_payload(1, device_holder=rs_a.name), device_payload(2, device_holder=rs_a.name))
    [row] = operator.get(HOSPITALS).context["cl"].result_list
    assert (row.number_of_devices, row.number_of_admins) == (2, 1)
    page = operator.get(HOSPITALS).content.decode()
    assert re.search(r"field-hospital_admins[^>]*>\s*1\s*<", page)
    assert f"/admin/devices/device/?device_holder__id__exact={rs_a.pk}" in page


def test_a_hospital_is_renamed(operator: Client, rs_a: Hospital) -> None:
    assert operator.post(f"{HOSPITALS}{rs_a.pk}/change/", {"name": " RSUD Harapan "}).status_code == 302
    assert Hospital.objects.get().name == "RSUD Harapan"
    change = Hospital.history.filter(history_type="~").get()
    assert (change.history_user.username, change.history_channel) == ("operator", "admin")
    assert "RS Harapan" in operator.get(f"{HOSPITALS}{rs_a.pk}/change/").content.decode()


CONTACT = {
    "address": "Jalan Melati 5, Bandung",
    "email": "info@rs-harapan.example",
    "phone": "+62 22 555 0100",
    "region": "Jawa Barat",
    "domain": "rs-harapan.example",
}


def test_operator_edits_the_contact_data(operator: Client, rs_a: Hospital) -> None:
    path = f"{HOSPITALS}{rs_a.pk}/change/"
    form = {"name": "RS Harapan", **CONTACT, "domain": "RS-Harapan.example."}
    assert operator.post(path, form).status_code == 302
    assert Hospital.objects.filter(**CONTACT).exists()
    change = Hospital.history.get(history_type="~")
    assert (change.history_user.username, change.phone) == ("operator", CONTACT["phone"])
    assert operator.post(path, {"name": "RS Harapan"}).status_code == 302
    assert Hospital.objects.filter(**dict.fromkeys(CONTACT, "")).exists()


def test_hospital_is_added_with_its_contact_data(operator: Client) -> None:
    operator.post(f"{HOSPITALS}add/", {"name": "RS Baru", **CONTACT})
    assert Hospital.objects.get(name="RS Baru", **CONTACT)


def test_invalid_contact_data_is_reported_at_each_field(operator: Client, rs_a: Hospital) -> None:
    form = {"name": "RS Harapan", "email": "info", "phone": "call", "domain": "https://rs.example"}
    response = operator.post(f"{HOSPITALS}{rs_a.pk}/change/", form)
    assert set(response.context["adminform"].form.errors) == {"email", "phone", "domain"}
    assert Hospital.history.count() == 1


def test_hospital_admin_sees_the_contact_data_and_cannot_change_it(ratna: Client, rs_a: Hospital) -> None:
    hospitals.update(rs_a, CONTACT, SYSTEM)
    page = ratna.get(f"{HOSPITALS}{rs_a.pk}/change/").content.decode()
    assert all(value in page for value in CONTACT.values())
    assert 'name="address"' not in page
    assert "City, regency or province." not in page  # a hint for the form
    assert ratna.post(f"{HOSPITALS}{rs_a.pk}/change/", {"name": "RS Harapan", "phone": "112"}).status_code == 403


@pytest.mark.parametrize("name", [" ", "rs SEHAT", "Unknown"])
@pytest.mark.parametrize("page", ["add", "change"])
def test_invalid_hospital_name_is_reported_at_its_field(
    operator: Client, rs_a: Hospital, rs_b: Hospital, page: str, name: str
) -> None:
    path = f"{HOSPITALS}add/" if page == "add" else f"{HOSPITALS}{rs_a.pk}/change/"
    response = operator.post(path, {"name": name})
    assert list(response.context["adminform"].form.errors) == ["name"]
    assert Hospital.objects.count() == 2


def test_a_hospital_is_added(operator: Client) -> None:
    operator.post(f"{HOSPITALS}add/", {"name": "RS Baru"})
    assert Hospital.history.get().history_user.username == "operator"


def test_merge_shows_the_moved_objects_and_requires_confirmation(
    operator: Client, ratna: Client, rs_a: Hospital, rs_b: Hospital
) -> None:
    register(device_payload(1, device_holder=rs_a.name), device_payload(2, device_holder=rs_b.name))
    page = act(operator, rs_a).content.decode()
    assert "devices: 1, hospital admins: 1, API keys: 0, former names: 0" in page
    assert Hospital.objects.count() == 2
    page = act(operator, rs_a, confirmed="1", into=rs_b.pk).content.decode()
    assert "Merged into RS Sehat. Moved: devices: 1, hospital admins: 1, API keys: 0." in page
    assert list(Hospital.objects.all()) == [rs_b]
    assert Device.objects.filter(device_holder=rs_b).count() == 2
    assert {device.device_name for device in ratna.get("/admin/devices/device/").context["cl"].result_list} == {
        "Cuff 1",
        "Cuff 2",
    }


def test_merge_names_each_hospital_with_its_numbers_and_the_admins_who_gain_access(
    operator: Client, ratna: Client, rs_a: Hospital, rs_b: Hospital
) -> None:
    [rs_c] = hospitals.get_or_create(["RS Citra"], SYSTEM).values()
    hospitals.rename(rs_a, "RSUD Harapan", SYSTEM)
    users.invite("Pak Budi", "budi@rs.example", [rs_b])
    users.invite("Ibu Citra", "citra@rs.example", [rs_c])
    register(*(device_payload(number, device_holder="RS Citra") for number in (1, 2)))
    issue("app", hospitals=[rs_a])
    issue("other app", hospitals=[rs_a])
    page = " ".join(act(operator, rs_a, rs_b).content.decode().split())
    assert "2 hospitals will be merged" in page
    assert "This cannot be undone." in page
    assert re.search(r"RSUD Harapan</strong>[^:]*devices: 0, hospital admins: 1, API keys: 2, former names: 1<", page)
    assert re.search(r"RS Sehat</strong>[^:]*devices: 0, hospital admins: 1, API keys: 0, former names: 0<", page)
    assert "<strong>Ibu Ratna, Pak Budi</strong>" in page
    assert re.findall(r'<option value="\d+">([^<]+)<', page) == ["RS Citra · 2 devices · Ibu Citra"]
    assert "bg-red-600" in page
    assert Hospital.objects.count() == 3


def test_merge_requires_another_hospital_as_its_target(operator: Client, rs_a: Hospital, rs_b: Hospital) -> None:
    for fields in ({}, {"into": rs_a.pk}):
        assert act(operator, rs_a, confirmed="1", **fields).context["form"].errors
    assert Hospital.objects.count() == 2


def test_page_of_a_hospital_names_its_admins_to_them_and_to_operators_only(
    operator: Client, ratna: Client, rs_a: Hospital, rs_b: Hospital
) -> None:
    users.invite("Pak Budi", "budi@rs.example", [rs_b])
    rs_a.admins.add(User.objects.create_superuser("hidden operator"))
    for client in (operator, ratna):
        page = client.get(f"{HOSPITALS}{rs_a.pk}/change/").content.decode()
        assert re.search(r">\s*Ibu Ratna, operator\s*<", page)
        assert "Budi" not in page
        assert "hidden operator" not in page
    assert ratna.get(f"{HOSPITALS}{rs_b.pk}/change/").status_code == 404


def test_hospital_admin_cannot_change_hospitals(ratna: Client, rs_a: Hospital, rs_b: Hospital) -> None:
    assert ratna.post(f"{HOSPITALS}add/", {"name": "RS Baru"}).status_code == 403
    assert ratna.post(f"{HOSPITALS}{rs_a.pk}/change/", {"name": "RS Baru"}).status_code == 403
    assert ratna.post(f"{HOSPITALS}{rs_a.pk}/delete/", {"post": "yes"}).status_code == 403
    act(ratna, rs_a, confirmed="1", into=rs_b.pk)
    assert [hospital.name for hospital in Hospital.objects.order_by("name")] == ["RS Harapan", "RS Sehat"]
