"""The history of a device, its restoration, and the export of its audit log."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from devices import registry
from devices.access.actor import SYSTEM, Actor
from devices.audit import export
from devices.models import Channel, Device
from devices.tests.support.admin.browser import NARROW, WIDE, Visit, act

CHANGES = "/admin/devices/historicaldevice/"


def test_history_shows_values_before_and_after(visit: Visit, ratna: User, devices: dict[str, Device]) -> None:
    page = visit(f"/admin/devices/device/{devices['a'].pk}/change/", ratna)
    page.get_by_label("Name").fill("Ward 3, bed 2")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    page.goto(f"/admin/devices/device/{devices['a'].pk}/history/")
    change = page.get_by_role("listitem").filter(has_text="changed")
    expect(change).to_contain_text("name: Cuff 1 → Ward 3, bed 2")
    expect(change).to_contain_text("ratna@rs.example")
    expect(change).to_contain_text("127.0.0.1")
    expect(page.locator(".change-rows li")).to_have_count(2)
    page.get_by_role("link", name="Back to the device", exact=True).click()
    expect(page.get_by_label("Name")).to_have_value("Ward 3, bed 2")


def test_retired_device_is_found_in_changes_and_restored(visit: Visit, ratna: User, devices: dict[str, Device]) -> None:
    registry.retire(Device.objects.filter(pk=devices["a"].pk), SYSTEM)
    page = visit(CHANGES, ratna)
    page.get_by_role("textbox", name="Name, MAC address or request ID").fill("Cuff 1")
    with page.expect_navigation():  # the list before the search has the same row
        page.keyboard.press("Enter")
    act(page, "Restore devices", "retired")
    expect(page.get_by_text("1 device will be registered again")).to_be_visible()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("1 device was restored.")).to_be_visible()
    assert Device.objects.get(device_name="Cuff 1").pk == devices["a"].pk
    expect(page.get_by_role("row", name="restored")).to_be_visible()


def test_operator_downloads_the_audit_log_of_a_device(visit: Visit, operator: User, devices: dict[str, Device]) -> None:
    page = visit(f"/admin/devices/device/{devices['a'].pk}/change/", operator)
    page.get_by_role("link", name="Audit trail").click()
    page.get_by_label("File").select_option("JSON Lines, for a program")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename.startswith(f"audit-device-{devices['a'].pk}-")
    lines = Path(download.value.path()).read_text().splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["device added", "exported"]


def test_audit_log_of_a_retired_device_is_downloaded_from_changes(
    visit: Visit, operator: User, devices: dict[str, Device]
) -> None:
    registry.retire(Device.objects.filter(pk=devices["a"].pk), SYSTEM)
    page = visit(CHANGES, operator)
    page.get_by_role("row", name="retired").get_by_role("link", name="Audit trail").click()
    page.get_by_label("Last day").fill("2020-01-01")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert Path(download.value.path()).read_text("utf-8-sig").splitlines() == [",".join(export.COLUMNS)]


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_changes_with_long_values_fit_the_page(
    visit: Visit, ratna: User, devices: dict[str, Device], viewport: Any
) -> None:
    long = "Oxymeter-Perinatologi-0123456789-" * 5
    by = Actor(Channel.ADMIN, user_id=ratna.pk, ip_address="2001:db8:1111:2222:3333:4444:5555:6666")
    registry.update(Device.objects.filter(pk=devices["a"].pk), {"device_name": long}, by)
    page = visit(CHANGES, ratna, viewport=viewport)
    expect(page.locator("#result_list tbody tr")).to_have_count(2)
    assert page.evaluate("""() => {
      const list = document.querySelector("#result_list");
      return [...list.querySelectorAll("td, th")].every((cell) => cell.getBoundingClientRect().right <= innerWidth)
        && list.scrollWidth <= list.parentElement.clientWidth + 1;
    }""")


def test_filters_can_be_closed_and_removed(visit: Visit, ratna: User, devices: dict[str, Device]) -> None:
    page = visit(CHANGES, ratna, viewport=NARROW)
    page.get_by_role("button", name="Filters").click()
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("button", name="Apply Filters")).to_be_hidden()
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("From").fill("2026-01-31")
    page.get_by_role("button", name="Apply Filters").click()
    expect(page.get_by_text("from Jan. 31, 2026")).to_be_visible()
    page.get_by_role("link", name="Remove the filter time: from Jan. 31, 2026").click()
    expect(page.get_by_text("Filtered by")).to_have_count(0)
