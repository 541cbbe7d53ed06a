"""Search, register and correct devices; transfer, change and retire many devices."""

import re

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from devices import registry
from devices.access.actor import SYSTEM
from devices.models import Device, Hospital
from devices.tests.support.admin.browser import NARROW, Visit, act, choose
from devices.tests.support.factories import MAC, device_payload, register

LIST = "/admin/devices/device/"
SAVE_AND_RETIRE = (("button", "Save"), ("link", "Retire device"))


def names(page: Page) -> list[str]:
    """Return the names in the list, from top to bottom."""
    return page.locator("#result_list tbody th").all_inner_texts()


@pytest.mark.parametrize(
    "text", ["d0:61:ae:d4:58:94", "D0-61-AE-D4-58-94", "d061.aed4.5894", "D061AED45894", "ae-d4", "E86", "melati"]
)
def test_search_finds_a_device_by_name_hospital_or_mac(visit: Visit, operator: User, text: str) -> None:
    register(
        device_payload(1, device_name="E86 5894", device_mac=MAC, device_holder="RS Melati"),
        device_payload(2),
        device_payload(3),
    )
    page = visit(LIST, operator)
    page.get_by_role("textbox", name="Name, MAC address, hospital").fill(text)
    page.keyboard.press("Enter")
    expect(page.locator("#result_list tbody th")).to_have_count(1)
    assert names(page) == ["E86 5894"]


def test_filter_by_a_hospital_that_is_found_by_typing(visit: Visit, operator: User, devices: dict[str, Device]) -> None:
    page = visit(LIST, operator)
    expect(page.locator("#result_list tbody th")).to_have_count(3)
    page.get_by_text("Filters").first.click()
    choose(page, "device_holder__id__exact", "RS Sehat", "seh")
    page.get_by_role("button", name="Apply Filters").click()
    expect(page.locator("#result_list tbody th")).to_have_count(1)
    assert names(page) == ["Cuff 2"]


def test_registered_device_has_a_normalized_mac(visit: Visit, operator: User, rs_a: Hospital) -> None:
    page = visit(f"{LIST}add/", operator)
    page.get_by_label("Name").fill("Ward 3, bed 2")
    page.get_by_label("MAC address").fill("d061.aed4.5894")
    page.get_by_role("radio", name="Corporate").check()
    choose(page, "device_holder", "RS Harapan", "hara")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    row = page.get_by_role("row", name="Ward 3, bed 2")
    expect(row).to_contain_text(MAC)
    expect(row).to_contain_text("RS Harapan")
    assert Device.objects.get().device_type == "CORPORATE"


def test_error_of_a_taken_mac_links_to_the_device(visit: Visit, ratna: User, devices: dict[str, Device]) -> None:
    page = visit(f"{LIST}add/", ratna)
    page.get_by_label("Name").fill("New")
    page.get_by_role("radio", name="Consumer").check()
    page.get_by_label("MAC address").fill(devices["a"].device_mac.replace(":", "-"))
    page.get_by_role("button", name="Save", exact=True).click()
    field = page.locator(".field-device_mac")
    expect(field).to_contain_text("A device with this MAC address is already registered.")
    field.get_by_role("link", name="Cuff 1").click()
    expect(page).to_have_url(f"{LIST}{devices['a'].pk}/change/")


def test_error_of_an_invalid_mac_keeps_the_form(visit: Visit, operator: User) -> None:
    page = visit(f"{LIST}add/", operator)
    page.get_by_label("Name").fill("New")
    page.get_by_label("MAC address").fill("1.0E+11")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".field-device_mac")).to_contain_text("MAC address")
    expect(page.locator(".field-device_mac .text-red-600, .field-device_mac .errorlist").first).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("New")
    expect(page.get_by_label("MAC address")).to_be_focused()
    assert not Device.objects.exists()


def test_selected_devices_are_transferred_after_confirmation(
    visit: Visit, operator: User, devices: dict[str, Device], rs_b: Hospital
) -> None:
    page = visit(LIST, operator)
    act(page, "Transfer to another hospital", "Cuff 1", "Cuff 3")
    expect(page.get_by_text("2 devices will be transferred to the hospital that you choose here.")).to_be_visible()
    choose(page, "device_holder", "RS Sehat", "seh")
    assert rs_b.devices.count() == 1
    page.get_by_role("button", name="Transfer", exact=True).click()
    expect(page.get_by_text("2 devices were transferred.")).to_be_visible()
    assert rs_b.devices.count() == 3


def test_canceled_action_changes_nothing(visit: Visit, operator: User, devices: dict[str, Device]) -> None:
    page = visit(LIST, operator)
    act(page, "Retire", "Cuff 1")
    page.get_by_role("link", name="Cancel").click()
    expect(page.locator("#result_list tbody th")).to_have_count(3)


def test_type_of_selected_devices_is_changed(visit: Visit, ratna: User, devices: dict[str, Device]) -> None:
    page = visit(LIST, ratna)
    act(page, "Change the type", "Cuff 1")
    page.get_by_role("radio", name="Corporate").check()
    page.get_by_role("button", name="Change the type").click()
    expect(page.get_by_text("1 device was changed.")).to_be_visible()
    expect(page.get_by_role("row", name="Cuff 1")).to_contain_text("Corporate")


def test_all_found_devices_are_retired_and_no_others(visit: Visit, operator: User) -> None:
    register(*map(device_payload, range(60)), device_payload(60, device_name="Watch"))
    page = visit(f"{LIST}?q=cuff", operator)
    page.get_by_role("checkbox", name=re.compile("Select all")).check()
    page.get_by_role("link", name="Select all 60 devices").click()
    act(page, "Retire")
    expect(page.get_by_text("60 devices will be retired")).to_be_visible()
    expect(page.get_by_text("and 40 more")).to_be_visible()
    page.get_by_role("button", name="Retire").click()
    expect(page.get_by_text("60 devices were retired.")).to_be_visible()
    assert [device.device_name for device in Device.objects.all()] == ["Watch"]


def test_list_works_on_a_phone(visit: Visit, ratna: User, devices: dict[str, Device]) -> None:
    page = visit(LIST, ratna, viewport={"width": 390, "height": 844}, has_touch=True)
    expect(page.get_by_role("link", name="Import", exact=True).first).to_be_visible()
    row = page.get_by_role("row", name="Cuff 1")
    box = row.bounding_box()
    assert box
    assert box["height"] < 80  # two lines
    act(page, "Retire", "Cuff 1")
    page.get_by_role("button", name="Retire").tap()
    expect(page.get_by_text("1 device was retired.")).to_be_visible()


def test_whole_card_of_a_phone_is_a_link(visit: Visit, ratna: User, devices: dict[str, Device]) -> None:
    page = visit(LIST, ratna, viewport={"width": 390, "height": 844}, has_touch=True)
    page.get_by_role("row", name="Cuff 1").locator(".field-device_mac").tap(force=True)
    expect(page).to_have_url(f"{LIST}{devices['a'].pk}/change/")
    save, retire = (page.get_by_role(role, name=name, exact=True) for role, name in SAVE_AND_RETIRE)  # type: ignore[arg-type]
    above, below = save.bounding_box(), retire.bounding_box()
    assert above is not None
    assert below is not None
    assert above["y"] < below["y"]


def test_retirement_is_taken_back_from_its_message(visit: Visit, ratna: User, devices: dict[str, Device]) -> None:
    page = visit(f"{LIST}{devices['a'].pk}/change/", ratna)
    page.get_by_role("link", name="Retire device").click()
    expect(page.get_by_text("It can no longer send data.")).to_be_visible()
    page.get_by_role("button", name="Retire device").click()
    page.get_by_role("link", name="Undo").click()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("1 device was restored.")).to_be_visible()
    assert Device.objects.count() == 3


def test_device_is_restored_in_two_clicks_from_the_list(visit: Visit, ratna: User, devices: dict[str, Device]) -> None:
    registry.retire(Device.objects.filter(pk=devices["a"].pk), SYSTEM)
    page = visit(LIST, ratna)
    page.get_by_role("link", name="Retired").click()
    page.get_by_role("button", name="Restore Cuff 1").click()
    expect(page.get_by_text("1 device was restored.")).to_be_visible()
    assert Device.objects.count() == 3


def test_found_devices_are_exported_in_two_clicks(visit: Visit, operator: User, devices: dict[str, Device]) -> None:
    page = visit(f"{LIST}?q=sehat", operator)
    page.get_by_text("Export", exact=False).first.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    text = download.value.path().read_text()
    assert ("Cuff 2" in text, "Cuff 1" in text) == (True, False)


def test_missing_mac_is_registered_from_the_search(visit: Visit, ratna: User, rs_a: Hospital) -> None:
    page = visit(f"{LIST}?q=b0495f4dca18", ratna)
    page.get_by_role("link", name="Register it").click()
    expect(page.get_by_label("MAC address")).to_have_value("B0:49:5F:4D:CA:18")


def test_mac_of_a_device_is_copied(visit: Visit, ratna: User, devices: dict[str, Device]) -> None:
    page = visit(f"{LIST}{devices['a'].pk}/change/", ratna, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == devices["a"].device_mac


def test_on_a_phone_no_tab_or_heading_is_cut_and_values_have_spaces_between_them(
    visit: Visit, ratna: User, devices: dict[str, Device]
) -> None:
    page = visit(LIST, ratna, viewport=NARROW)
    for part in page.locator(".list-tabs, h1, .list-tabs a").all():
        assert part.evaluate("part => part.scrollWidth <= part.clientWidth"), part.inner_text()
    dots = page.locator(".field-device_type").evaluate_all(
        "cells => cells.map(c => getComputedStyle(c, '::before').content)"
    )
    assert set(dots) == {'" · "'}
