"""Users confirm their identity before they change how users sign in, and manage their sessions."""

from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from devices.accounts import sessions
from devices.accounts.sessions import SessionStore
from devices.models import Hospital
from devices.tests.support.admin.browser import NARROW, PASSWORD, WIDE, Visit, act, screenshot

USERS = "/admin/devices/staffuser/"

viewports = pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])


def make_stale(page: Page) -> None:
    [cookie] = [each for each in page.context.cookies() if each["name"] == settings.SESSION_COOKIE_NAME]
    session = SessionStore(cookie["value"])
    session[sessions.CONFIRMED_AT] -= sessions.FRESH_FOR + 1
    session.save()


def confirm(page: Page, password: str) -> None:
    page.get_by_label("Your password").fill(password)
    page.get_by_role("button", name="Continue").click()


@viewports
def test_password_link_is_created_after_confirmation(visit: Visit, operator: User, ratna: User, viewport: Any) -> None:
    page = visit(USERS, operator, viewport=viewport)
    make_stale(page)
    act(page, "New link to set a password", "Ibu Ratna")
    screenshot(page, "confirm", viewport)
    confirm(page, "wrong")
    expect(page.get_by_text("This password is wrong.")).to_be_visible()
    screenshot(page, "confirm-rejected", viewport)
    confirm(page, PASSWORD)
    expect(page.get_by_text("Send this link only to Ibu Ratna")).to_be_visible()


@viewports
def test_user_is_added_after_confirmation(visit: Visit, operator: User, rs_a: Hospital, viewport: Any) -> None:
    page = visit(f"{USERS}add/", operator, viewport=viewport)
    make_stale(page)
    page.get_by_label("Name").fill("Ibu Sari")
    page.get_by_label("Email").fill("sari@rs.example")
    page.locator("#id_hospitals + .select2").click()
    page.get_by_role("option", name="RS Harapan").click()
    page.get_by_role("button", name="Create the invitation link").click()
    confirm(page, PASSWORD)
    expect(page.get_by_text("Send this link only to Ibu Sari")).to_be_visible()


@viewports
def test_form_of_an_operator_shows_the_commands_that_change_it(
    visit: Visit, operator: User, ratna: User, viewport: Any
) -> None:
    boss = User.objects.create_superuser("boss", "boss@vendor.example")
    page = visit(f"{USERS}{boss.pk}/change/", operator, viewport=viewport)
    expect(page.get_by_text("manage.py reset_two_factor boss")).to_be_visible()
    expect(page.get_by_text("boss@vendor.example")).to_be_visible()
    expect(page.locator("#id_email, #id_hospitals, #id_is_active")).to_have_count(0)
    screenshot(page, "operator", viewport)
    page.goto(f"{USERS}{operator.pk}/change/")
    expect(page.get_by_text("This is your own account.")).to_be_visible()
    screenshot(page, "yourself", viewport)
    page.goto(f"{USERS}{ratna.pk}/change/")
    screenshot(page, "user", viewport)


@viewports
def test_user_sees_and_ends_their_sessions(visit: Visit, ratna: User, viewport: Any) -> None:
    lost, other = (visit("/admin/", ratna) for _ in range(2))
    page = visit("/admin/", ratna, viewport=viewport)
    page.goto("/admin/sessions/")
    expect(page.get_by_text("This session", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="End this session")).to_have_count(2)
    screenshot(page, "sessions", viewport)
    page.get_by_role("button", name="End this session").first.click()
    expect(page.get_by_text("1 session was ended.")).to_be_visible()
    page.get_by_role("button", name="End all other sessions").click()
    expect(page.get_by_text("1 session was ended.")).to_be_visible()
    expect(page.get_by_role("button", name="End all other sessions")).to_have_count(0)
    for ended in (lost, other):
        ended.goto("/admin/devices/device/")
        expect(ended.get_by_role("button", name="Log in")).to_be_visible()


def test_menu_links_to_password_two_factor_and_sessions(visit: Visit, ratna: User) -> None:
    page = visit("/admin/", ratna)
    page.get_by_role("button", name="Ibu Ratna").click()
    for name in ("Change password", "Two-factor authentication", "Your sessions"):
        expect(page.get_by_role("link", name=name)).to_be_visible()
