"""The history pages of a device and of a hospital, and the links of the changes to the devices."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from devices import registry
from devices.access.actor import SYSTEM
from devices.accounts import users
from devices.models import Device, Hospital
from devices.registry import hospitals
from devices.tests.support.factories import device_payload, register

LIST, CHANGES = "/admin/devices/device/", "/admin/devices/historicaldevice/"


def of_device(pk: int) -> str:
    return f"{LIST}{pk}/history/"


def of_hospital(hospital: Hospital) -> str:
    return f"/admin/devices/hospital/{hospital.pk}/history/"


def chosen_menu_item(page: str) -> str:
    """Return the path of the menu item that is marked as the current page."""
    items = re.findall(r'<a href="([^"]+)" class="([^"]*)"', page)
    [path] = {href for href, classes in items if re.search(r"\bactive\b", classes)}
    return path


def names_and_actions(response: Any) -> list[tuple[str, str]]:
    return [(str(row["name"]), str(row["action"])) for row in response.context["rows"]]


def test_history_of_a_device_has_its_name_mac_and_a_way_back(ratna: Client, devices: dict[str, Device]) -> None:
    device = devices["a"]
    registry.update(Device.objects.filter(pk=device.pk), {"device_name": "Ward 3"}, SYSTEM)
    response = ratna.get(of_device(device.pk))
    page = response.content.decode()
    assert "History of Ward 3</h1>" in page
    assert f'<p class="mb-4">{device.device_mac}</p>' in page
    assert page.count(f'href="{LIST}{device.pk}/change/"') >= 1
    assert names_and_actions(response) == [("Ward 3", "changed"), ("Cuff 1", "registered")]
    assert chosen_menu_item(page) == LIST


def test_history_of_a_hospital_has_the_changes_of_its_devices(
    ratna: Client, devices: dict[str, Device], rs_a: Hospital, rs_b: Hospital
) -> None:
    registry.transfer(Device.objects.filter(pk=devices["a"].pk), rs_b, SYSTEM)
    response = ratna.get(of_hospital(rs_a))
    page = response.content.decode()
    assert "History of RS Harapan</h1>" in page
    assert names_and_actions(response) == [("Cuff 1", "changed"), ("Cuff 1", "registered")]
    assert "went to another hospital" in page
    assert "RS Sehat" not in page
    assert f"{CHANGES}?device_holder__id__exact={rs_a.pk}" in page
    assert chosen_menu_item(page) == "/admin/devices/hospital/"


def test_retired_device_has_a_history_from_which_it_can_be_restored(ratna: Client, devices: dict[str, Device]) -> None:
    device = devices["a"]
    registry.retire(Device.objects.filter(pk=device.pk), SYSTEM)
    response = ratna.get(of_device(device.pk))
    page = response.content.decode()
    assert "History of Cuff 1</h1>" in page
    assert "This device is retired." in page
    assert f"{LIST}{device.pk}/change/" not in page
    form = dict(re.findall(r'<input type="hidden" name="(action|_selected_action)" value="(\w+)">', page))
    assert "1 device will be registered again" in ratna.post(CHANGES, form).content.decode()
    ratna.post(CHANGES, form | {"confirmed": "1"})
    assert Device.objects.filter(pk=device.pk).exists()
    assert "This device is retired." not in ratna.get(of_device(device.pk)).content.decode()


def test_history_of_a_device_that_left_ends_there_and_cannot_restore_it(
    ratna: Client, devices: dict[str, Device], rs_b: Hospital
) -> None:
    device = Device.objects.filter(pk=devices["a"].pk)
    registry.update(device, {"device_name": "Secret of Sehat", "device_holder": rs_b.name}, SYSTEM)
    registry.retire(device, SYSTEM)
    response = ratna.get(of_device(devices["a"].pk))
    page = response.content.decode()
    assert "History of Cuff 1</h1>" in page
    assert names_and_actions(response) == [("Cuff 1", "changed"), ("Cuff 1", "registered")]
    assert "until it left" in page
    assert "This device is retired." not in page
    assert not [secret for secret in ("Secret of Sehat", "RS Sehat") if secret in page]


@pytest.mark.parametrize("kind", ["device", "hospital"])
@pytest.mark.parametrize("pk", ["other", "999999", "x", "9" * 30, "-1"])
def test_history_outside_the_scope_is_not_found(
    ratna: Client, devices: dict[str, Device], rs_b: Hospital, kind: str, pk: str
) -> None:
    registry.retire(Device.objects.filter(pk=devices["b"].pk), SYSTEM)
    other = str(devices["b"].pk if kind == "device" else rs_b.pk)
    assert ratna.get(f"/admin/devices/{kind}/{other if pk == 'other' else pk}/history/").status_code == 404


def test_changes_link_to_the_device_or_to_its_history_if_it_has_no_page(
    ratna: Client, devices: dict[str, Device], rs_a: Hospital, rs_b: Hospital
) -> None:
    retired, left = register(device_payload(8, device_holder=rs_a.name), device_payload(9, device_holder=rs_a.name))
    registry.retire(Device.objects.filter(pk=retired.pk), SYSTEM)
    registry.transfer(Device.objects.filter(pk=left.pk), rs_b, SYSTEM)
    links = {f"{LIST}{devices['a'].pk}/change/", of_device(retired.pk), of_device(left.pk)}
    for path in (CHANGES, "/admin/", of_hospital(rs_a)):
        page = ratna.get(path).content.decode()
        assert links <= set(re.findall(r'href="([^"]+)"', page)), path
    for link in links:
        assert ratna.get(link).status_code == 200


def test_query_count_of_a_history_does_not_depend_on_its_length(operator: Client, rs_a: Hospital) -> None:
    counts = set()
    [device] = register(device_payload(1, device_holder=rs_a.name))
    for _ in range(2):
        for number in range(10):
            registry.update(Device.objects.filter(pk=device.pk), {"device_name": f"Name {number}"}, SYSTEM)
        for path in (of_device(device.pk), of_hospital(rs_a)):
            with CaptureQueriesContext(connection) as queries:
                assert operator.get(path).status_code == 200
            counts.add((path, len(queries)))
    assert len(counts) == 2


def test_long_history_is_divided_into_pages(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.admin.object_history.CHANGES_PER_PAGE", 2)
    [device] = register(device_payload(1))
    for number in range(4):
        registry.update(Device.objects.filter(pk=device.pk), {"device_name": f"Name {number}"}, SYSTEM)
    pages = [names_and_actions(operator.get(f"{of_device(device.pk)}?page={page}")) for page in ("1", "2", "3", "x")]
    assert [len(page) for page in pages] == [2, 2, 1, 2]
    assert pages[2] == [("Cuff 1", "registered")]


def test_history_of_a_hospital_includes_the_changes_before_a_merge(
    operator: Client, devices: dict[str, Device], rs_a: Hospital, rs_b: Hospital
) -> None:
    hospitals.merge([rs_b], rs_a, SYSTEM)
    assert ("Cuff 2", "registered") in names_and_actions(operator.get(of_hospital(rs_a)))


def test_hospital_page_names_its_admins_and_counts_its_devices_by_type(
    ratna: Client, operator: Client, devices: dict[str, Device], rs_a: Hospital, rs_b: Hospital
) -> None:
    sari = users.invite("Sari", "sari@rs.example", [rs_a, rs_b])
    users.invite("Hidden", "hidden@rs.example", [rs_b])
    rs_a.admins.add(User.objects.get(username="operator"))
    page = ratna.get(f"/admin/devices/hospital/{rs_a.pk}/change/").content.decode()
    assert f"Ibu Ratna, {sari.first_name}, operator" in page
    assert "Hidden" not in page
    consumers = f"{LIST}?device_holder__id__exact={rs_a.pk}&amp;device_type__exact=CONSUMER"
    assert f'<a href="{consumers}" class="underline">Consumer: 1</a>' in page
    assert of_hospital(rs_a) in page
