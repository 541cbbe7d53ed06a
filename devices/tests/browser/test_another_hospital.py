"""A hospital admin who tries to see another hospital, by every way there is.

Each way is gone twice: by an operator, who sees something of the other hospital there (else the way would prove
nothing), and by the admin, who sees nothing of it: not its name, its device, its MAC, its people or its keys.
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
from devices.tests.support.browser import Visit, Watch, act
from devices.tests.support.client import issue

SECRETS = ("RS Sehat", "Cuff 2", "00:00:00:00:00:02", "Dokter Sehat", "sehat@rs.example", "Sehat app")
DEVICES = "/admin/devices/device/"
CHANGES = "/admin/devices/historicaldevice/"


@pytest.fixture
def theirs(devices: dict[str, Device], rs_b: Hospital) -> Device:
    """The device of RS Sehat, which has an admin, a key and a history too."""
    users.invite("Dokter Sehat", "sehat@rs.example", [rs_b])
    issue("Sehat app", hospital=rs_b)
    registry.update(Device.objects.filter(pk=devices["b"].pk), {"device_type": "CORPORATE"}, SYSTEM)
    return devices["b"]


def go(path: str) -> Callable[[Page, Device], str]:
    """The way of who types an address; `{id}` and `{holder}` are those of the other hospital and its device."""

    def way(page: Page, theirs: Device) -> str:
        page.goto(path.format(id=theirs.pk, holder=theirs.device_holder_id))
        return page.content()

    return way


def choose_where_a_device_goes(page: Page, theirs: Device) -> str:
    page.goto(DEVICES)
    act(page, "Transfer to another hospital", "Cuff 1")
    page.locator("[name=device_holder] + .select2").click()
    return page.content()


def choose_where_a_new_device_is(page: Page, theirs: Device) -> str:
    page.goto(f"{DEVICES}add/")
    with page.expect_response("**/autocomplete/**") as answer:
        page.locator("[name=device_holder] + .select2").click()
    return json.dumps(answer.value.json())


def choose_a_hospital_to_filter_by(page: Page, theirs: Device) -> str:
    page.goto(DEVICES)
    page.get_by_text("Filters").first.click()
    with page.expect_response("**/autocomplete/**") as answer:
        page.locator("[name=device_holder__id__exact] + .select2").click()
    return json.dumps(answer.value.json())


def act_on_theirs(action: str) -> Callable[[Page, Device], str]:
    """The way of who writes another device's id into the box that one ticks."""

    def way(page: Page, theirs: Device) -> str:
        page.goto(DEVICES)
        box = page.get_by_role("row", name="Cuff 1").get_by_role("checkbox")
        box.evaluate("(box, id) => box.value = id", str(theirs.pk))
        act(page, action, "Cuff 1")
        page.wait_for_load_state()
        return page.content()

    return way


def export_theirs(page: Page, theirs: Device) -> str:
    act_on_theirs("Export")(page, theirs)
    page.get_by_label("Format").select_option(".csv")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    return Path(download.value.path()).read_text()


def restore_theirs(page: Page, theirs: Device) -> str:
    change = Device.history.filter(id=theirs.pk).latest("history_id")
    page.goto(CHANGES)
    box = page.get_by_role("row", name="Cuff 1").get_by_role("checkbox")
    box.evaluate("(box, id) => box.value = id", str(change.history_id))
    act(page, "Restore the devices that were taken out", "Cuff 1")
    page.wait_for_load_state()
    return page.content()


def import_over_theirs(page: Page, theirs: Device) -> str:
    page.goto(f"{DEVICES}import/")
    lines = f"id,device_name,device_mac,device_type\n{theirs.pk},Taken over,0000000000FF,CONSUMER\n"
    page.locator("#file").set_input_files({"name": "a.csv", "mimeType": "text/csv", "buffer": lines.encode()})
    page.locator("form[data-working] button").click()
    expect(page.get_by_text("Taken over").first).to_be_visible()
    return page.content()


def type_their(field: str) -> Callable[[Page, Device], str]:
    """The way of who registers what is registered, and reads what the form says."""

    def way(page: Page, theirs: Device) -> str:
        page.goto(f"{DEVICES}add/")
        page.get_by_label("Name").fill("Another")
        page.get_by_label("MAC address").fill("0000000000FE")
        typed = str(getattr(theirs, field))
        page.locator(f"#id_{field}").fill(typed)
        page.get_by_role("button", name="Save", exact=True).click()
        told = page.locator(f".field-{field}")
        expect(told).to_contain_text("is already registered")
        return told.inner_text()

    return way


WAYS: dict[str, Callable[[Page, Device], str]] = {
    "the list": go(DEVICES),
    "the list in another order": go(f"{DEVICES}?o=2&p=1"),
    "a search for a name": go(f"{DEVICES}?q=uff+2"),
    "a search for a MAC": go(f"{DEVICES}?q=000000000002"),
    "a search for a hospital": go(f"{DEVICES}?q=seha"),
    "a filter in the address": go(f"{DEVICES}?device_holder__id__exact={{holder}}"),
    "the device by its address": go(f"{DEVICES}{{id}}/change/"),
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
    "people": go("/admin/devices/staffuser/"),
    "choices of a transfer": choose_where_a_device_goes,
    "choices of a form": choose_where_a_new_device_is,
    "choices of a filter": choose_a_hospital_to_filter_by,
    "a transfer": act_on_theirs("Transfer to another hospital"),
    "taking out": act_on_theirs("Take out of the registry"),
    "an export": export_theirs,
    "a restoration": restore_theirs,
    "an import": import_over_theirs,
    "a taken name": type_their("device_name"),
    "a taken MAC": type_their("device_mac"),
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_another_hospital_is_seen_by_way_of(
    visit: Visit, operator: User, ratna: User, theirs: Device, watch: Watch, way: str
) -> None:
    watch.expected |= {403, 404}

    def seen_by(user: User) -> list[str]:
        shown = WAYS[way](visit("/admin/", user), theirs)
        return [secret for secret in SECRETS if secret in shown]

    assert seen_by(ratna) == []
    assert seen_by(operator)
    theirs.refresh_from_db()
    assert (theirs.device_name, theirs.device_holder.name) == ("Cuff 2", "RS Sehat")


def test_no_number_counts_another_hospitals_devices(visit: Visit, ratna: User, theirs: Device) -> None:
    page = visit("/admin/", ratna)
    figures = page.locator("main, body").first.get_by_role("link").filter(has_text="devices").all_inner_texts()
    assert [text.split() for text in figures if text.split()[0].isdigit()] == [["1", "devices"]]
    for path in (DEVICES, f"{DEVICES}?_facets=True", f"{CHANGES}?_facets=True", "/admin/devices/hospital/"):
        page.goto(path)
        numbers = page.locator("body").inner_text()
        assert "1 device" in numbers or "1 change" in numbers or "1 hospital" in numbers, path
        assert "(2)" not in numbers
