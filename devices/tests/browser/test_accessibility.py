"""Opened menus, filters and lists violate no rule of axe, and keyboards and screen readers find their way.

`test_pages.py` runs axe on every page.
"""

from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from devices.models import Device, Hospital
from devices.tests.support.admin.browser import NARROW, WIDE, Visit, violations
from devices.tests.support.factories import device_payload, register

LIST = "/admin/devices/device/"
LOOKS = [("en", WIDE, "light"), ("id", NARROW, "dark")]


@pytest.fixture
def ids(rs_a: Hospital) -> dict[str, Any]:
    [device] = register(device_payload(1, device_name="Tensimeter 1", device_holder=rs_a.name))
    return {"device": device.pk}


@pytest.mark.parametrize(("locale", "viewport", "color_scheme"), LOOKS, ids=["wide-light-en", "narrow-dark-id"])
def test_nothing_that_is_opened_violates_a_rule(
    visit: Visit, operator: User, ids: dict[str, Any], locale: str, viewport: Any, color_scheme: str
) -> None:
    page = visit(LIST, operator, locale=locale, viewport=viewport, color_scheme=color_scheme)
    found = {}
    if viewport == NARROW:
        page.locator("header button[x-on\\:click^=sidebarMobile]").click()
    page.locator("#nav-sidebar [x-on\\:click^=openUserLinks]").click()
    expect(page.locator("#logout-form")).to_be_visible()
    found["menu"] = violations(page)
    page.goto(LIST)
    page.locator("[x-on\\:click='filterOpen = true']").click()
    expect(page.locator("#changelist-filter")).to_be_visible()
    found["filters"] = violations(page)
    page.goto(LIST)
    page.locator("input.action-select").first.check()
    page.locator("#changelist-actions select[name=action]").select_option("retire")
    found["actions"] = violations(page)
    with page.expect_navigation():
        page.locator("#changelist-actions button[type=submit]").click()
    found["confirmation"] = violations(page)
    page.goto(f"{LIST}add/")
    page.locator("[name=device_holder] + .select2").click()
    expect(page.get_by_role("option", name="RS Harapan")).to_be_visible()
    found["hospitals"] = violations(page)
    page.goto(f"{LIST}{ids['device']}/change/")
    page.locator("[name=device_mac]").fill("x")
    with page.expect_navigation():
        page.locator("[name=_save]").click()
    found["errors"] = violations(page)
    assert {state: rules for state, rules in found.items() if rules} == {}


@pytest.mark.parametrize(("locale", "name"), [("en", "Select Tensimeter 1"), ("id", "Pilih Tensimeter 1")])
def test_tick_box_is_named_after_its_row(
    visit: Visit, operator: User, ids: dict[str, Any], locale: str, name: str
) -> None:
    page = visit(LIST, operator, locale=locale)
    expect(page.get_by_role("checkbox", name=name)).to_have_count(1)
    expect(page.locator("#result_list tbody")).to_have_count(1)


def test_sorted_column_and_heading_are_announced(visit: Visit, operator: User, ids: dict[str, Any]) -> None:
    page = visit(f"{LIST}?o=-1&q=Tensi", operator)
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Name")
    assert page.locator("h1").all_inner_texts() == ["Devices"]


def test_keyboard_leads_to_the_content_the_actions_and_the_search(
    visit: Visit, operator: User, ids: dict[str, Any]
) -> None:
    page = visit(LIST, operator)
    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.locator("input.action-select").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#changelist-actions select[name=action]")).to_be_focused()
    page.keyboard.press("Control+k")
    expect(page.locator("#search-everywhere")).to_be_focused()
    page.keyboard.type("Tensimeter")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Tensimeter 1")).to_be_visible()


def test_search_button_shows_the_focus(visit: Visit, operator: User, ids: dict[str, Any]) -> None:
    page = visit(LIST, operator)
    page.locator("#searchbar").focus()
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#searchbar-submit")).to_be_focused()
    assert page.locator("#searchbar-submit").evaluate("e => getComputedStyle(e).outlineStyle") == "solid"


def test_breadcrumbs_lead_to_the_overview_and_the_list(visit: Visit, operator: User, ids: dict[str, Any]) -> None:
    page = visit(f"{LIST}{ids['device']}/change/", operator)
    crumbs = page.get_by_role("navigation", name="Breadcrumbs").get_by_role("link")
    assert [link.get_attribute("href") for link in crumbs.all()] == ["/admin/", LIST]
    page.set_viewport_size(NARROW)
    expect(crumbs.filter(visible=True)).to_have_count(1)


def test_search_of_the_menu_finds_only_devices_of_the_scope(
    visit: Visit, ratna: User, rs_b: Hospital, ids: dict[str, Any]
) -> None:
    [other] = register(device_payload(2, device_name="Tensimeter 2", device_holder=rs_b.name))
    assert Device.objects.filter(pk=other.pk).exists()
    page = visit("/admin/", ratna)
    page.locator("#search-everywhere").fill("Tensimeter")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Tensimeter 1")).to_be_visible()
    expect(page.get_by_role("link", name="Tensimeter 2")).to_have_count(0)


@pytest.mark.parametrize(("model", "field"), [("apikey", "name"), ("staffuser", "first_name"), ("hospital", "name")])
def test_first_field_of_a_form_has_the_focus(visit: Visit, operator: User, model: str, field: str) -> None:
    page = visit(f"/admin/devices/{model}/add/", operator)
    expect(page.locator(f"main [name={field}]")).to_be_focused()
