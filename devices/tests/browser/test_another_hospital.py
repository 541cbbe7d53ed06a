"""A hospital admin tries to see another hospital in every possible way.

An operator tries each way too, and must see something of the other hospital; otherwise the way would prove nothing. The
hospital admin must see nothing of it: not its name, device, MAC address, users or keys.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from devices import registry
from devices.access.actor import SYSTEM
from devices.accounts import users
from devices.models import Device, Hospital
from devices.registry import hospitals
from devices.tests.support.admin.browser import Visit, Watch, act
from devices.tests.support.client import issue

SECRETS = ("RS Sehat", "Cuff 2", "00:00:00:00:00:02", "Dokter Sehat", "sehat@rs.example", "Sehat app")
DEVICES = "/admin/devices/device/"
CHANGES = "/admin/devices/historicaldevice/"


@pytest.fixture
def other_device(devices: dict[str, Device], rs_b: Hospital) -> Device:
    """A device of RS Sehat, which also has an admin, a key and a history."""
    users.invite("Dokter Sehat", "sehat@rs.example", [rs_b])
    issue("Sehat app", hospitals=[rs_b])
    registry.update(Device.objects.filter(pk=devices["b"].pk), {"device_type": "CORPORATE"}, SYSTEM)
    return devices["b"]


def go(path: str) -> Callable[[Page, Device], str]:
    """Return a way that opens a URL. `{id}` is the device of the other hospital, and `{holder}` is that hospital."""

    def way(page: Page, other_device: Device) -> str:
        page.goto(path.format(id=other_device.pk, holder=other_device.device_holder_id))
        return page.content()

    return way


def choose_where_a_device_goes(page: Page, other_device: Device) -> str:
    page.goto(DEVICES)
    act(page, "Transfer to another hospital", "Cuff 1")
    page.locator("[name=device_holder] + .select2").click()  # its choices are part of the page
    return page.content()


def choose_where_a_new_device_is(page: Page, other_device: Device) -> str:
    page.goto(f"{DEVICES}add/")
    with page.expect_response("**/autocomplete/**") as response:
        page.locator("[name=device_holder] + .select2").click()
    return json.dumps(response.value.json())


def choose_a_hospital_to_filter_by(page: Page, other_device: Device) -> str:
    page.goto(DEVICES)
    page.get_by_text("Filters").first.click()
    with page.expect_response("**/autocomplete/**") as response:
        page.locator("[name=device_holder__id__exact] + .select2").click()
    return json.dumps(response.value.json())


def act_on_other(action: str) -> Callable[[Page, Device], str]:
    """Return a way that writes the id of the other device into a checkbox."""

    def way(page: Page, other_device: Device) -> str:
        page.goto(DEVICES)
        box = page.get_by_role("row", name="Cuff 1").get_by_role("checkbox")
        box.evaluate("(box, id) => box.value = id", str(other_device.pk))
        act(page, action, "Cuff 1")
        return page.content()

    return way


def export_other(page: Page, other_device: Device) -> str:
    act_on_other("Export")(page, other_device)
    page.get_by_label("Format").select_option(".csv")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    return Path(download.value.path()).read_text()


def restore_other(page: Page, other_device: Device) -> str:
    change = Device.history.filter(id=other_device.pk).latest("history_id")
    page.goto(CHANGES)
    box = page.get_by_role("row", name="Cuff 1").get_by_role("checkbox")
    box.evaluate("(box, id) => box.value = id", str(change.history_id))
    act(page, "Restore devices", "Cuff 1")
    return page.content()


def import_other(page: Page, other_device: Device) -> str:
    page.goto(f"{DEVICES}import/")
    rows = f"id,device_name,device_mac,device_type\n{other_device.pk},Overwritten,0000000000FF,CONSUMER\n"
    page.locator("#file").set_input_files({"name": "a.csv", "mimeType": "text/csv", "buffer": rows.encode()})
    page.locator("form[data-working] button").click()
    expect(page.get_by_text("Overwritten").first).to_be_visible()
    return page.content()


def enter_value(field: str) -> Callable[[Page, Device], str]:
    """Return a way that registers a device with this value of the other device, and reads the error of the form."""

    def way(page: Page, other_device: Device) -> str:
        page.goto(f"{DEVICES}add/")
        page.get_by_label("Name").fill("Another")
        page.get_by_label("MAC address").fill("0000000000FE")
        value = str(getattr(other_device, field))
        page.locator(f"#id_{field}").fill(value)
        page.get_by_role("button", name="Save", exact=True).click()
        error = page.locator(f".field-{field}")
        expect(error).to_contain_text("is already registered")
        return error.inner_text()

    return way


WAYS: dict[str, Callable[[Page, Device], str]] = {
    "the list": go(DEVICES),
    "the list in another order": go(f"{DEVICES}?o=2&p=1"),
    "a search for a name": go(f"{DEVICES}?q=uff+2"),
    "a search for a MAC": go(f"{DEVICES}?q=000000000002"),
    "a search for a hospital": go(f"{DEVICES}?q=seha"),
    "a filter in the URL": go(f"{DEVICES}?device_holder__id__exact={{holder}}"),
    "the device by its URL": go(f"{DEVICES}{{id}}/change/"),
    "its deletion": go(f"{DEVICES}{{id}}/delete/"),
    "its history": go(f"{DEVICES}{{id}}/history/"),
    "all changes": go(CHANGES),
    "changes by id": go(f"{CHANGES}?id={{id}}"),
    "changes by hospital": go(f"{CHANGES}?device_holder__id__exact={{holder}}"),
    "hospitals": go("/admin/devices/hospital/"),
    "the hospital": go("/admin/devices/hospital/{holder}/change/"),
    "the hospital's history": go("/admin/devices/hospital/{holder}/history/"),
    "the first page": go("/admin/"),
    "keys": go("/admin/devices/apikey/"),
    "users": go("/admin/devices/staffuser/"),
    "choices of a transfer": choose_where_a_device_goes,
    "choices of a form": choose_where_a_new_device_is,
    "choices of a filter": choose_a_hospital_to_filter_by,
    "a transfer": act_on_other("Transfer to another hospital"),
    "a retirement": act_on_other("Retire"),
    "an export": export_other,
    "a restoration": restore_other,
    "an import": import_other,
    "a taken name": enter_value("device_name"),
    "a taken MAC": enter_value("device_mac"),
}


@pytest.mark.parametrize("way", WAYS)
def test_admin_sees_nothing_of_another_hospital(
    visit: Visit, operator: User, ratna: User, other_device: Device, watch: Watch, way: str
) -> None:
    watch.expected |= {403, 404}
    if "transfer" in way:  # it is not offered to the admin of one hospital
        [melati] = hospitals.get_or_create(["RS Melati"], SYSTEM).values()
        melati.admins.add(ratna)

    def seen_by(user: User) -> list[str]:
        shown = WAYS[way](visit("/admin/", user), other_device)
        return [secret for secret in SECRETS if secret in shown]

    assert seen_by(ratna) == []
    assert seen_by(operator)
    other_device.refresh_from_db()
    assert (other_device.device_name, other_device.device_holder.name) == ("Cuff 2", "RS Sehat")


def test_numbers_exclude_devices_of_other_hospitals(visit: Visit, ratna: User, other_device: Device) -> None:
    page = visit("/admin/", ratna)
    figures = page.locator("main, body").first.get_by_role("link").filter(has_text="devices").all_inner_texts()
    assert [text.split() for text in figures if text.split()[0].isdigit()] == [["1", "Devices"]]
    for path in (DEVICES, f"{DEVICES}?_facets=True", f"{CHANGES}?_facets=True", "/admin/devices/hospital/"):
        page.goto(path)
        numbers = page.locator("body").inner_text()
        assert "1 device" in numbers or "1 change" in numbers or "1 hospital" in numbers, path
        assert "(2)" not in numbers
