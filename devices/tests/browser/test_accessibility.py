"""axe finds nothing on any page, in both languages, wide and narrow, light and dark, also in what can be opened.

https://github.com/dequelabs/axe-core. The package has the script, and `page.evaluate` runs it despite the policy.
"""

from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from devices.models import Device, Hospital
from devices.tests.support.admin.browser import NARROW, WIDE, Visit, Watch
from devices.tests.support.client import issue
from devices.tests.support.factories import device_payload, register

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()
LIST = "/admin/devices/device/"
PAGES = (
    *("", "devices/device/", "devices/device/?q=nothing", "devices/device/?o=1", "devices/device/add/"),
    *("devices/device/{device}/change/", "devices/device/{device}/delete/", "devices/device/import/"),
    *("devices/historicaldevice/", "devices/hospital/", "devices/hospital/add/", "devices/hospital/{hospital}/change/"),
    *("devices/staffuser/", "devices/staffuser/add/", "devices/staffuser/{user}/change/"),
    *("devices/apikey/", "devices/apikey/add/", "devices/apikey/{key}/change/", "devices/apikey/{key}/history/"),
    *("devices/auditevent/", "sessions/", "two-factor/set-up/", "password_change/", "missing/"),
)
LOOKS = [("en", WIDE, "light"), ("id", NARROW, "dark")]


def violations(page: Page) -> list[str]:
    """Return the rules that the page violates, each with its first elements."""
    page.evaluate("document.getAnimations().forEach((animation) => animation.finish())")
    page.evaluate(AXE)
    found: list[dict[str, Any]] = page.evaluate("axe.run({resultTypes: ['violations']}).then((r) => r.violations)")
    return [f"{rule['id']}: {[node['html'][:150] for node in rule['nodes'][:3]]}" for rule in found]


@pytest.fixture
def ids(rs_a: Hospital, ratna: User) -> dict[str, Any]:
    [device] = register(device_payload(1, device_name="Tensimeter 1", device_holder=rs_a.name))
    key = issue("Monitor", hospital=rs_a).key
    return {"device": device.pk, "hospital": rs_a.pk, "user": ratna.pk, "key": key.pk}


@pytest.mark.parametrize(("locale", "viewport", "color_scheme"), LOOKS, ids=["wide-light-en", "narrow-dark-id"])
def test_no_page_violates_a_rule(
    visit: Visit, operator: User, watch: Watch, ids: dict[str, Any], locale: str, viewport: Any, color_scheme: str
) -> None:
    watch.expected.add(404)
    look: dict[str, Any] = {"locale": locale, "viewport": viewport, "color_scheme": color_scheme}
    page = visit("/admin/login/", **look)
    found = {"login": violations(page)}
    page = visit("/healthz", operator, **look)
    for path in PAGES:
        page.goto(f"/admin/{path}".format(**ids))
        found[path] = violations(page)
    assert {path: rules for path, rules in found.items() if rules} == {}


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
    page.locator("#changelist-actions button[type=submit]").click()
    found["confirmation"] = violations(page)
    page.goto(f"{LIST}add/")
    page.locator("[name=device_holder] + .select2").click()
    expect(page.get_by_role("option", name="RS Harapan")).to_be_visible()
    found["hospitals"] = violations(page)
    page.goto(f"{LIST}{ids['device']}/change/")
    page.locator("[name=device_mac]").fill("x")
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
    expect(page.locator("th[aria-sort=descending]")).to_have_text("Name", use_inner_text=False, ignore_case=True)
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
