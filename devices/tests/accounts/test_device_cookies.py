"""Failures of others in a network do not lock out a browser in which the user signed in before."""

from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from devices.tests.support.admin.sign_in import WRONG, sign_in
from devices.tests.support.admin.users import PASSWORD


@pytest.fixture
def browser(user: User) -> Client:
    """A client with the device cookie of `keeper` and no session."""
    browser = Client()
    assert sign_in("keeper", PASSWORD, client=browser).status_code == 302
    del browser.cookies[settings.SESSION_COOKIE_NAME]
    return browser


@pytest.fixture
def locked_network(browser: Client) -> None:
    assert [sign_in(f"name {n}").status_code for n in range(21)] == [200] * 20 + [429]


def test_browser_of_the_user_signs_in_from_a_locked_network(browser: Client, locked_network: None) -> None:
    assert sign_in("keeper", PASSWORD).status_code == 429
    assert sign_in("keeper", PASSWORD, client=browser).status_code == 302


@pytest.mark.parametrize("typed", ["Keeper@example.org", " keeper@example.org"])
def test_user_name_is_compared_as_the_form_reads_it(browser: Client, locked_network: None, typed: str) -> None:
    User.objects.update(username="keeper@example.org")
    assert sign_in(typed, PASSWORD, client=browser).status_code == 302


def test_cookie_is_ignored_for_another_user(browser: Client, locked_network: None) -> None:
    User.objects.create_superuser("another", password=PASSWORD)
    assert sign_in("another", PASSWORD, client=browser).status_code == 429


def test_wrong_password_sets_no_cookie(user: User) -> None:
    browser = Client()
    sign_in("keeper", client=browser)
    assert settings.DEVICE_COOKIE_NAME not in browser.cookies


def test_changed_cookie_is_not_accepted(browser: Client, locked_network: None) -> None:
    value = browser.cookies[settings.DEVICE_COOKIE_NAME].value
    for forged in (f"{User.objects.get().pk}:abc", "1" + value, value[:-1], "é"):
        browser.cookies[settings.DEVICE_COOKIE_NAME] = forged
        assert sign_in("keeper", PASSWORD, client=browser).status_code == 429


def test_old_cookie_is_not_accepted(browser: Client, locked_network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.accounts.sign_in_limits.COOKIE_AGE", -1)
    assert sign_in("keeper", PASSWORD, client=browser).status_code == 429


def test_cookie_has_ten_failures(browser: Client, locked_network: None, hashes: list[str], settings: Any) -> None:
    settings.AXES_FAILURE_LIMIT = 100
    hashes.clear()
    assert [sign_in("keeper", client=browser).status_code for _ in range(11)] == [200] * 10 + [429]
    assert hashes == [WRONG] * 10


def test_user_is_locked_after_five_failures_with_the_cookie_too(browser: Client) -> None:
    assert [sign_in("keeper", client=browser).status_code for _ in range(6)] == [200] * 4 + [429] * 2


def test_network_rate_applies_with_the_cookie_too(browser: Client, settings: Any) -> None:
    settings.SIGN_IN_RATE = "1/h"
    sign_in("nobody")
    assert sign_in("keeper", PASSWORD, client=browser).status_code == 429


def test_failures_with_the_cookie_do_not_count_for_the_network(browser: Client, settings: Any) -> None:
    settings.AXES_FAILURE_LIMIT = 100
    for _ in range(10):
        sign_in("keeper", client=browser)
    assert [sign_in(f"name {n}").status_code for n in range(21)] == [200] * 20 + [429]


def test_cookie_is_kept_after_sign_out(user: User) -> None:
    browser = Client()
    sign_in("keeper", PASSWORD, client=browser)
    assert browser.post("/admin/logout/").status_code == 200
    assert browser.cookies[settings.DEVICE_COOKIE_NAME].value
