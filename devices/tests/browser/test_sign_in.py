"""Who comes in, and in which language."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from devices.models import Hospital
from devices.tests.support.browser import PASSWORD, Visit, Watch, sign_in


def test_a_wrong_password_is_told_and_a_right_one_leads_to_the_page_that_was_asked_for(
    visit: Visit, operator: User
) -> None:
    page = visit("/admin/devices/device/")
    sign_in(page, "operator", "wrong")
    expect(page.get_by_text("Please enter the correct")).to_be_visible()
    sign_in(page, "operator", PASSWORD)
    expect(page).to_have_url("/admin/devices/device/")


def test_the_fifth_failure_locks_also_who_then_knows_the_password(visit: Visit, operator: User, watch: Watch) -> None:
    watch.expected.add(429)
    page = visit("/admin/login/")
    for _ in range(5):
        sign_in(page, "operator", "wrong")
    expect(page.get_by_role("heading", name="Too many failed sign-ins")).to_be_visible()
    page.get_by_role("link", name="Log in again").click()
    sign_in(page, "operator", PASSWORD)
    expect(page.get_by_text("locked for this address for 15 minutes")).to_be_visible()


def choose(page: Page, password: str) -> None:
    page.locator("input[name=new_password1]").fill(password)
    page.locator("input[name=new_password2]").fill(password)
    page.get_by_role("button", name="Save the password").click()


@pytest.mark.parametrize(("locale", "words"), [("id-ID", "Masuk"), ("en-US", "Log in"), ("de-DE", "Log in")])
def test_the_page_speaks_the_browsers_language_else_english(visit: Visit, locale: str, words: str) -> None:
    page = visit("/admin/login/", locale=locale)
    expect(page.get_by_role("button", name=words)).to_be_visible()


def test_the_language_is_switched_before_signing_in_and_stays(visit: Visit, operator: User) -> None:
    page = visit("/admin/login/")
    page.get_by_role("button", name="Bahasa Indonesia").click()
    page.get_by_label("Email atau nama pengguna").fill("operator")
    page.get_by_label("Kata sandi").fill(PASSWORD)
    page.get_by_role("button", name="Masuk").click()
    expect(page.get_by_role("link", name="Perangkat").first).to_be_visible()


def test_the_language_is_switched_inside_and_the_page_stays(visit: Visit, ratna: User) -> None:
    page = visit("/admin/devices/device/", ratna)
    expect(page.get_by_role("textbox", name="Type to search")).to_be_visible()
    page.get_by_text("Ibu Ratna").click()
    page.get_by_role("button", name="Bahasa Indonesia").click()
    expect(page.get_by_role("textbox", name="Ketik untuk mencari")).to_be_visible()
    expect(page).to_have_url("/admin/devices/device/")


def test_who_signs_out_is_out(visit: Visit, ratna: User) -> None:
    page = visit("/admin/", ratna)
    page.get_by_text("Ibu Ratna").click()
    page.get_by_role("button", name="Log out").click()
    page.goto("/admin/devices/device/")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_what_the_library_made_for_the_mouse_is_reached_by_keys(visit: Visit, ratna: User) -> None:
    page = visit("/admin/", ratna)
    page.get_by_role("button", name="Ibu Ratna").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


def test_one_form_makes_a_hospital_admin_who_chooses_a_password_and_signs_in(
    visit: Visit, operator: User, rs_a: Hospital
) -> None:
    page = visit("/admin/devices/staffuser/add/", operator)
    page.get_by_label("Name").fill("Ibu Sari")
    page.get_by_label("E-mail").fill("Sari@rs.example")
    page.locator("#id_hospitals + .select2").click()
    page.get_by_role("option", name="RS Harapan").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Send this link to Ibu Sari only")).to_be_visible()
    theirs = visit(page.locator("#key").inner_text())
    choose(theirs, "12345678")
    expect(theirs.get_by_text("This password is too common.")).to_be_visible()
    choose(theirs, PASSWORD)
    sign_in(theirs, "sari@rs.example", PASSWORD)
    theirs.get_by_role("link", name="Hospitals").click()
    expect(theirs.get_by_role("link", name="RS Harapan")).to_be_visible()
    expect(theirs.get_by_role("link", name="API keys")).to_have_count(0)
