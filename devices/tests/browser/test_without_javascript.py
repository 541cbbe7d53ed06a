"""All pages can be read and their forms work if JavaScript is off, or if a proxy blocks the scripts."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from devices.models import Device, Hospital
from devices.tests.support.admin.browser import NARROW, PASSWORD, WIDE, Visit
from devices.tests.support.factories import device_payload, register

LIST = "/admin/devices/device/"


@pytest.fixture
def cuff(rs_a: Hospital) -> Device:
    [device] = register(device_payload(1, device_name="Cuff 1", device_holder=rs_a.name))
    return device


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("locale", ["en", "id"])
def test_user_signs_in_changes_a_device_and_signs_out(
    visit: Visit, operator: User, cuff: Device, rs_b: Hospital, viewport: dict[str, int], locale: str
) -> None:
    page = visit("/admin/", java_script_enabled=False, viewport=viewport, locale=locale)
    page.locator("[name=username]").fill("operator")
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("#login-form [type=submit]").click()
    expect(page.locator(".without-scripts")).to_be_visible()
    page.locator(f"#nav-sidebar a[href='{LIST}']").click()
    page.get_by_role("link", name="Cuff 1").click()
    page.locator("[name=device_name]").fill("Cuff A")
    page.locator("noscript [name=device_holder]").select_option(label=rs_b.name)
    with page.expect_navigation():
        page.locator("[name=_save]").click()
    cuff.refresh_from_db()
    assert (cuff.device_name, cuff.device_holder_id) == ("Cuff A", rs_b.pk)
    with page.expect_navigation():
        page.locator("#logout-form button").click()
    page.goto(LIST)
    expect(page.locator("[name=password]")).to_be_visible()


def test_action_runs_after_its_confirmation(visit: Visit, operator: User, cuff: Device) -> None:
    page = visit(LIST, operator, java_script_enabled=False)
    page.get_by_role("row", name="Cuff 1").get_by_role("checkbox").check()
    page.locator("#changelist-form select[name=action]").select_option("change_type")
    page.get_by_role("button", name="Run").click()
    page.locator("[name=device_type][value=CORPORATE]").check()
    with page.expect_navigation():
        page.locator("main form button[type=submit]").first.click()
    cuff.refresh_from_db()
    assert cuff.device_type == "CORPORATE"


def test_list_is_searched_and_filtered(visit: Visit, operator: User, cuff: Device) -> None:
    register(device_payload(2, device_name="Scale 2", device_type="CORPORATE"))
    page = visit(LIST, operator, java_script_enabled=False)
    page.locator("#searchbar").fill("Cuff")
    page.locator("#searchbar").press("Enter")
    expect(page.get_by_role("link", name="Scale 2")).to_have_count(0)
    page.goto(LIST)
    page.locator("#changelist-filter").get_by_role("link", name="Corporate").click()
    expect(page.get_by_role("link", name="Scale 2")).to_be_visible()
    expect(page.get_by_role("link", name="Cuff 1")).to_have_count(0)


def test_devices_are_imported(visit: Visit, operator: User, tmp_path: Path) -> None:
    file = tmp_path / "devices.csv"
    file.write_text("device_name,device_mac,device_type,device_holder\nScale 9,B0:49:5F:00:00:09,CONSUMER,RS Harapan\n")
    page = visit(f"{LIST}import/", operator, java_script_enabled=False)
    page.locator("[type=file]").set_input_files(file)
    page.get_by_role("button", name="Preview").first.click()
    with page.expect_navigation():
        page.locator("[name=confirm]").click()
    assert Device.objects.filter(device_name="Scale 9").exists()


def test_buttons_that_need_a_script_are_hidden(visit: Visit, operator: User, cuff: Device) -> None:
    page = visit(f"{LIST}{cuff.pk}/change/", operator, java_script_enabled=False)
    expect(page.locator("[data-copies]")).to_be_hidden()
    expect(page.get_by_text(cuff.device_mac, exact=True)).to_be_visible()


def test_page_is_readable_if_a_proxy_blocks_the_scripts(visit: Visit, operator: User, cuff: Device) -> None:
    page = visit("/healthz", operator)
    page.route("**/*.js", lambda route: route.abort("aborted"))
    page.goto(LIST)
    expect(page.get_by_role("link", name="Cuff 1")).to_be_visible()
    expect(page.locator(".without-scripts")).to_be_visible()


def test_page_is_shown_before_its_scripts_have_run(visit: Visit, operator: User, cuff: Device) -> None:
    page = visit("/healthz", operator)
    page.route("**/alpine.*.js", lambda route: None)
    page.goto(LIST, wait_until="commit")
    expect(page.get_by_role("link", name="Cuff 1")).to_be_visible()
    expect(page.locator(".without-scripts")).to_be_hidden()
    expect(page.locator("#changelist-filter")).to_be_hidden()
    page.unroute_all(behavior="ignoreErrors")


def test_plain_select_has_only_hospitals_of_the_scope(
    visit: Visit, ratna: User, rs_a: Hospital, rs_b: Hospital
) -> None:
    page = visit(f"{LIST}add/", ratna, java_script_enabled=False)
    options = page.locator("noscript [name=device_holder] option").all_inner_texts()
    assert [option for option in options if option.startswith("RS ")] == [rs_a.name]
