"""Open by clicks every page that the guide of hospital admins describes: a missing link fails."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from devices.models import Hospital
from devices.tests.support.admin.browser import NARROW, PASSWORD, WIDE, Visit
from devices.tests.support.factories import device_payload, register

LABELS: dict[str, dict[str, Any]] = {
    "en": {
        "name": "Ibu Ratna",
        "menu": ["Overview", "Devices", "Changes", "Hospitals", "Help"],
        "account": ["Change password", "Two-factor authentication", "Your sessions", "Help"],
        "import": "Import",
        "add": "Add",
        "history": "History",
        "sign_out": "Log out",
        "signed_out": "You are signed out.",
        "more": "More",
        "show_menu": "Show or hide the menu",
    },
    "id": {
        "name": "Ibu Ratna",
        "menu": ["Ringkasan", "Perangkat", "Perubahan", "Rumah sakit", "Bantuan"],
        "account": ["Ubah kata sandi", "Verifikasi 2 langkah", "Sesi Anda", "Bantuan"],
        "import": "Impor",
        "add": "Tambah",
        "history": "Riwayat",
        "sign_out": "Keluar",
        "signed_out": "Anda sudah keluar.",
        "more": "Lainnya",
        "show_menu": "Tampilkan atau sembunyikan menu",
    },
}
MENU_URLS = [
    "/admin/",
    "/admin/devices/device/",
    "/admin/devices/historicaldevice/",
    "/admin/devices/hospital/",
    "/admin/help/",
]
ACCOUNT_URLS = ["/admin/password_change/", "/admin/two-factor/set-up/", "/admin/sessions/", "/admin/help/"]
languages = pytest.mark.parametrize("language", LABELS)


@languages
def test_menu_leads_to_each_page(visit: Visit, ratna: User, language: str) -> None:
    page = visit("/admin/", ratna, locale=language)
    for title, url in zip(LABELS[language]["menu"], MENU_URLS, strict=True):
        page.locator("#nav-sidebar-apps").get_by_role("link", name=title, exact=True).click()
        expect(page).to_have_url(url)


@languages
@pytest.mark.parametrize("role", ["ratna", "operator"])
def test_account_menu_of_each_role_leads_to_each_page(
    visit: Visit, request: pytest.FixtureRequest, language: str, role: str
) -> None:
    user: User = request.getfixturevalue(role)
    page = visit("/admin/", user, locale=language)
    for title, url in zip(LABELS[language]["account"], ACCOUNT_URLS, strict=True):
        page.goto("/admin/")
        page.get_by_role("button", name=user.get_full_name() or user.username).click()
        page.locator("nav nav").get_by_role("link", name=title).click()
        expect(page).to_have_url(url)
    page.goto("/admin/")
    page.get_by_role("button", name=user.get_full_name() or user.username).click()
    page.get_by_role("button", name=LABELS[language]["sign_out"]).click()
    expect(page.get_by_role("heading", name=LABELS[language]["signed_out"])).to_be_visible()


@languages
def test_password_is_changed_from_the_account_menu(visit: Visit, ratna: User, language: str) -> None:
    ratna.set_password(PASSWORD)
    ratna.save()
    page = visit("/admin/", ratna, locale=language)
    page.get_by_role("button", name="Ibu Ratna").click()
    with page.expect_navigation():  # until its scripts have run: one of them shows the characters
        page.get_by_role("link", name=LABELS[language]["account"][0]).click()
    page.locator("[name=old_password]").fill(PASSWORD)
    for field in ("new_password1", "new_password2"):
        page.locator(f"[name={field}]").fill("sore-teduh-8")
    page.locator("[name=new_password1] + span").click()
    expect(page.locator("[name=new_password1]")).to_have_attribute("type", "text")
    page.get_by_role("button", name=LABELS[language]["account"][0]).click()
    expect(page).to_have_url("/admin/")
    ratna.refresh_from_db()
    assert ratna.check_password("sore-teduh-8")


@languages
def test_buttons_of_the_list_and_of_a_device_lead_to_the_pages_of_the_guide(
    visit: Visit, ratna: User, rs_a: Hospital, language: str
) -> None:
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    labels: dict[str, Any] = LABELS[language]
    page = visit("/admin/", ratna, locale=language)

    def open_list() -> None:
        page.locator("#nav-sidebar-apps").get_by_role("link", name=labels["menu"][1], exact=True).click()
        expect(page).to_have_url("/admin/devices/device/")
        page.wait_for_load_state()  # a script hides the names of icons, which other links have

    open_list()
    page.get_by_role("link", name=labels["import"]).click()
    expect(page).to_have_url("/admin/devices/device/import/")
    open_list()
    page.locator("a[href$='/devices/device/add/']").first.click()
    expect(page.locator("#device_form")).to_be_visible()
    open_list()
    page.get_by_role("link", name=device.device_name).first.click()
    expect(page).to_have_url(f"/admin/devices/device/{device.pk}/change/")
    # exact: before a script hides it, the name of the icon "history" is in the label of another link.
    page.get_by_role("link", name=labels["history"], exact=True).click()
    expect(page).to_have_url(f"/admin/devices/device/{device.pk}/history/")


@languages
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_two_factor_is_left_again_by_the_button_back(visit: Visit, ratna: User, language: str, viewport: Any) -> None:
    page = visit("/admin/two-factor/set-up/", ratna, locale=language, viewport=viewport)
    expect(page.locator("a[href^='otpauth://totp/']")).to_be_visible()
    page.get_by_role("link", name={"en": "Back", "id": "Kembali"}[language]).click()
    expect(page).to_have_url("/admin/")


def test_set_up_page_without_scripts_has_the_link_and_the_key(visit: Visit, ratna: User) -> None:
    page = visit("/admin/two-factor/set-up/", ratna, java_script_enabled=False)
    assert page.locator("a[href^='otpauth://totp/']").count() == 1
    assert page.locator("#setup-key").text_content()
    assert page.locator("[data-copies]").get_attribute("hidden") is not None
    assert page.locator("[name=code]").get_attribute("type") == "text"


def test_copy_button_copies_the_key_without_spaces(visit: Visit, ratna: User) -> None:
    page = visit("/admin/two-factor/set-up/", ratna, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator("#setup-key").inner_text().replace(" ", "")
