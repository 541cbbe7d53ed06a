"""Sign-in, passwords and languages."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from devices.models import Hospital
from devices.tests.support.admin.browser import PASSWORD, Visit, Watch, sign_in


def test_sign_in_shows_errors_and_returns_to_the_requested_page(visit: Visit, operator: User) -> None:
    page = visit("/admin/devices/device/")
    sign_in(page, "operator", "wrong")
    expect(page.get_by_text("The email or password is wrong.")).to_be_visible()
    sign_in(page, "operator", PASSWORD)
    expect(page).to_have_url("/admin/devices/device/")


def test_fifth_failed_sign_in_locks_the_user(visit: Visit, operator: User, watch: Watch) -> None:
    watch.expected.add(429)
    page = visit("/admin/login/")
    for _ in range(5):
        sign_in(page, "operator", "wrong")
    expect(page.get_by_role("heading", name="Too many failed sign-ins")).to_be_visible()
    page.get_by_role("link", name="Sign in again").click()
    sign_in(page, "operator", PASSWORD)
    expect(page.get_by_text("locked out from your network for 15 minutes")).to_be_visible()


def set_password(page: Page, password: str) -> None:
    page.locator("input[name=new_password1]").fill(password)
    page.locator("input[name=new_password2]").fill(password)
    page.get_by_role("button", name="Save password").click()


@pytest.mark.parametrize(("locale", "words"), [("id-ID", "Masuk"), ("en-US", "Log in"), ("de-DE", "Log in")])
def test_page_is_in_the_language_of_the_browser_or_english(visit: Visit, locale: str, words: str) -> None:
    page = visit("/admin/login/", locale=locale)
    expect(page.get_by_role("button", name=words)).to_be_visible()


def test_language_chosen_before_sign_in_is_kept(visit: Visit, operator: User) -> None:
    page = visit("/admin/login/")
    page.get_by_role("button", name="Bahasa Indonesia").click()
    page.get_by_label("Email atau nama pengguna").fill("operator")
    page.get_by_label("Kata sandi").fill(PASSWORD)
    page.get_by_role("button", name="Masuk").click()
    expect(page.get_by_role("link", name="Perangkat").first).to_be_visible()


def test_language_is_changed_on_the_same_page(visit: Visit, ratna: User) -> None:
    page = visit("/admin/devices/device/", ratna)
    expect(page.get_by_role("textbox", name="Name, MAC address, hospital")).to_be_visible()
    page.get_by_role("button", name="Ibu Ratna").click()
    page.get_by_role("button", name="Bahasa Indonesia").click()
    expect(page.get_by_role("textbox", name="Nama, alamat MAC, rumah sakit")).to_be_visible()
    expect(page).to_have_url("/admin/devices/device/")


def test_sign_out_ends_the_session(visit: Visit, ratna: User) -> None:
    page = visit("/admin/", ratna)
    page.get_by_role("button", name="Ibu Ratna").click()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="You are signed out.")).to_be_visible()
    page.goto("/admin/devices/device/")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_user_menu_works_with_the_keyboard(visit: Visit, ratna: User) -> None:
    page = visit("/admin/", ratna)
    page.get_by_role("button", name="Ibu Ratna").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


def test_new_hospital_admin_sets_a_password_and_signs_in(visit: Visit, operator: User, rs_a: Hospital) -> None:
    page = visit("/admin/devices/staffuser/add/", operator)
    page.get_by_label("Name").fill("Ibu Sari")
    page.get_by_label("Email").fill("Sari@rs.example")
    page.locator("#id_hospitals + .select2").click()
    page.get_by_role("option", name="RS Harapan").click()
    page.get_by_role("button", name="Create the invitation link").click()
    expect(page.get_by_text("Send this link only to Ibu Sari")).to_be_visible()
    admin_page = visit(page.locator("#key").inner_text())
    set_password(admin_page, "12345678")
    expect(admin_page.get_by_text("This password is too common.")).to_be_visible()
    set_password(admin_page, PASSWORD)
    expect(admin_page.get_by_label("Email or user name")).to_have_value("sari@rs.example")
    admin_page.get_by_label("Password").fill(PASSWORD)
    admin_page.get_by_role("button", name="Log in").click()
    admin_page.get_by_role("link", name="Hospitals").click()
    expect(admin_page.get_by_role("link", name="RS Harapan")).to_be_visible()
    expect(admin_page.get_by_role("link", name="API keys")).to_have_count(0)
