"""Two-factor authentication with an authenticator app, which gets its secret from the page."""

import base64
import re
import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django_otp.oath import TOTP
from playwright.sync_api import Page, expect

from devices.models import AuthenticatorApp
from devices.tests.support.admin.browser import NARROW, PASSWORD, WIDE, Visit, screenshot, sign_in

SET_UP = "/admin/two-factor/set-up/"


def code_of(secret: str) -> str:
    """Return the current code of the app."""
    text = secret.replace(" ", "")
    totp = TOTP(base64.b32decode(text + "=" * (-len(text) % 8)))
    totp.time = time.time()
    return f"{totp.token():06d}"


def enter(page: Page, code: str, button: str = "Continue") -> None:
    page.locator("[name=code]").fill(code)
    page.get_by_role("button", name=button).click()


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_two_factor_is_set_up_required_and_turned_off(visit: Visit, operator: User, viewport: Any) -> None:
    page = visit(SET_UP, operator, viewport=viewport)
    screenshot(page, "set-up", viewport)
    secret = page.locator("#setup-key").inner_text()
    page.get_by_label("Your password").fill("wrong")
    enter(page, code_of(secret))
    expect(page.get_by_text("This password is wrong.")).to_be_visible()
    screenshot(page, "set-up-rejected", viewport)
    page.get_by_label("Your password").fill(PASSWORD)
    enter(page, code_of(secret))
    shown = page.locator("#key").inner_text().split()
    assert len(shown) == 10
    screenshot(page, "codes", viewport)
    page.get_by_role("link", name="Continue").click()
    expect(page).to_have_url("/admin/")

    def sign_in_with(code: str) -> Page:
        other = visit("/admin/devices/device/", viewport=viewport)
        sign_in(other, "operator", PASSWORD)
        expect(other.get_by_role("heading", name="Enter a code")).to_be_visible()
        enter(other, code)
        return other

    AuthenticatorApp.objects.update(last_t=-1)  # as after 30 seconds
    expect(sign_in_with(code_of(secret))).to_have_url("/admin/devices/device/")
    expect(sign_in_with(shown[0])).to_have_url("/admin/devices/device/")
    other = visit("/admin/", viewport=viewport)
    sign_in(other, "operator", PASSWORD)
    other.get_by_text("Use a recovery code", exact=True).click()
    other.get_by_label("Recovery code").fill(shown[1])
    other.get_by_role("button", name="Continue").click()
    expect(other).to_have_url("/admin/")
    rejected = sign_in_with(shown[0])
    expect(rejected.get_by_text("This code is wrong or was already used.")).to_be_visible()
    screenshot(rejected, "rejected", viewport)

    page.goto(SET_UP)
    expect(page.get_by_text(re.compile("8 recovery codes are left"))).to_be_visible()
    screenshot(page, "state", viewport)
    AuthenticatorApp.objects.update(last_t=-1)
    enter(page, code_of(secret), "Turn off")
    expect(page.get_by_text("Two-factor authentication is off.")).to_be_visible()
