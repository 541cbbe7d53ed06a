"""Two-factor authentication: set up with an app, required at each sign-in, each code valid once."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken

from devices.accounts import two_factor
from devices.models import AuditEvent, AuthenticatorApp
from devices.tests.support.admin.two_factor import (
    CHECK,
    SET_UP,
    code_of,
    next_code_of,
    set_up,
    shown_codes,
    sign_in_again,
)
from devices.tests.support.admin.users import PASSWORD
from devices.tests.support.concurrency import at_once

LIST = "/admin/devices/device/"


@pytest.fixture
def user(ratna: Client) -> User:
    return User.objects.get(first_name="Ibu Ratna")


def test_code_is_required_at_the_next_sign_in_after_set_up(ratna: Client, user: User) -> None:
    assert len(set_up(ratna, user)) == 10
    assert ratna.get(LIST).status_code == 200
    browser = sign_in_again(user)
    assert browser.get(LIST).headers["Location"] == f"{CHECK}?next=/admin/devices/device/"
    response = browser.post(f"{CHECK}?next={LIST}", {"code": next_code_of(user)})
    assert (response.status_code, response.headers["Location"]) == (302, LIST)
    assert browser.get(LIST).status_code == 200


def test_every_admin_page_requires_the_code(ratna: Client, user: User) -> None:
    set_up(ratna, user)
    browser = sign_in_again(user)
    for path in ("/admin/", LIST, f"{LIST}add/", SET_UP, "/admin/password_change/", "/admin/autocomplete/"):
        for method in (browser.get, browser.post):
            assert method(path).headers["Location"].startswith(CHECK), path
    response = browser.post(SET_UP, {"turn_off": "1", "code": next_code_of(user)})
    assert response.headers["Location"].startswith(CHECK)
    assert two_factor.is_enrolled(user)


def test_pages_below_a_url_prefix_require_the_code_too(ratna: Client, user: User) -> None:
    set_up(ratna, user)
    response = sign_in_again(user).get(LIST, SCRIPT_NAME="/registry")
    assert response.headers["Location"] == f"{CHECK}?next=/registry{LIST}"


def test_a_code_works_once(ratna: Client, user: User) -> None:
    ratna.get(SET_UP)
    code = code_of(user)
    ratna.post(SET_UP, {"code": code, "password": PASSWORD})
    browser = sign_in_again(user)
    page = browser.post(CHECK, {"code": code}).content.decode()
    assert "was already used" in page
    assert browser.get(LIST).status_code == 302


def test_a_recovery_code_works_once(ratna: Client, user: User) -> None:
    first = set_up(ratna, user)[0]
    assert sign_in_again(user).post(CHECK, {"code": f" {first.upper()} "}).status_code == 302
    assert "wrong" in sign_in_again(user).post(CHECK, {"code": first}).content.decode()
    assert "9 recovery codes are left" in ratna.get(SET_UP).content.decode()


def test_new_recovery_codes_end_the_old_ones(ratna: Client, user: User) -> None:
    old = set_up(ratna, user)[0]
    page = ratna.post(SET_UP, {"renew": "1", "code": next_code_of(user)}).content.decode()
    assert len(shown_codes(page)) == 10
    assert "wrong" in sign_in_again(user).post(CHECK, {"code": old}).content.decode()
    assert "10 recovery codes are left" in ratna.get(SET_UP).content.decode()


def test_guessing_codes_is_limited(ratna: Client, user: User) -> None:
    set_up(ratna, user)
    browser = sign_in_again(user)
    pages = [browser.post(CHECK, {"code": "000000"}).content.decode() for _ in range(6)]
    assert "Too many wrong codes. Try again in" in pages[-1]
    browser.post(CHECK, {"code": next_code_of(user)})  # a valid code is rejected too
    assert browser.get(LIST).status_code == 302


def test_code_of_another_user_is_invalid(ratna: Client, user: User, operator: Client) -> None:
    set_up(ratna, user)
    operator_user = User.objects.get(username="operator")
    codes = set_up(operator, operator_user)
    browser = sign_in_again(user)
    assert "wrong" in browser.post(CHECK, {"code": codes[0]}).content.decode()


def test_wrong_code_does_not_set_it_up(ratna: Client, user: User) -> None:
    ratna.get(SET_UP)
    page = ratna.post(SET_UP, {"code": "000000", "password": PASSWORD}).content.decode()
    assert "This code is wrong" in page
    assert not two_factor.is_enrolled(user)
    assert ratna.get(LIST).status_code == 200


def test_required_two_factor_is_set_up_at_the_first_sign_in(ratna: Client, user: User, settings: Any) -> None:
    settings.STAFF_OTP = "required"
    assert ratna.get(LIST).headers["Location"].startswith(SET_UP)
    assert re.search(r"<button[^>]*>\s*Continue\s*</button>", ratna.get(SET_UP).content.decode())
    set_up(ratna, user)
    assert ratna.get(LIST).status_code == 200
    assert "Turn off" not in ratna.get(SET_UP).content.decode()
    ratna.post(SET_UP, {"turn_off": "1", "code": next_code_of(user)})
    assert two_factor.is_enrolled(user)


def test_optional_two_factor_can_be_turned_off_with_a_code(ratna: Client, user: User) -> None:
    set_up(ratna, user)
    ratna.post(SET_UP, {"turn_off": "1", "code": next_code_of(user)})
    assert sign_in_again(user).get(LIST).status_code == 200


@pytest.mark.parametrize("code", [None, "", "000000", "aaaaaaaa"])
@pytest.mark.parametrize("button", ["turn_off", "renew"])
def test_turning_off_and_new_recovery_codes_require_a_code(
    ratna: Client, user: User, button: str, code: str | None
) -> None:
    set_up(ratna, user)
    stored = list(StaticToken.objects.values())
    response = ratna.post(SET_UP, {button: "1"} | ({} if code is None else {"code": code}))
    assert (response.status_code, response.context["form"].errors.keys()) == (200, {"code"})
    assert two_factor.is_enrolled(user)
    assert list(StaticToken.objects.values()) == stored


def test_session_verified_with_a_recovery_code_stays_valid_when_codes_are_renewed(ratna: Client, user: User) -> None:
    first, second, *_rest = set_up(ratna, user)
    browser = sign_in_again(user)
    browser.post(CHECK, {"code": first})
    browser.post(SET_UP, {"renew": "1", "code": second})
    assert browser.get(LIST).status_code == 200


def test_stored_digest_of_a_recovery_code_is_not_a_valid_code(ratna: Client, user: User) -> None:
    codes = set_up(ratna, user)
    stored = list(StaticToken.objects.values_list("token", flat=True))
    assert len(stored) == 10
    assert not set(stored) & set(codes)
    StaticDevice.objects.update(throttling_failure_count=0)
    assert "wrong" in sign_in_again(user).post(CHECK, {"code": stored[0]}).content.decode()


def test_changes_of_own_two_factor_are_recorded(ratna: Client, user: User) -> None:
    set_up(ratna, user)
    ratna.post(SET_UP, {"renew": "1", "code": next_code_of(user)})
    ratna.post(SET_UP, {"turn_off": "1", "code": next_code_of(user)})
    events = AuditEvent.objects.filter(user=user, object_type="user", object_id=user.pk).order_by("pk")
    kinds = ("two_factor_enabled", "recovery_codes_created", "two_factor_reset")
    assert [event.action for event in events if event.action in kinds] == [*kinds[:2], *kinds[1:]]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["app", "recovery"])
def test_concurrent_requests_with_one_code_verify_one_session(ratna: Client, user: User, kind: str) -> None:
    [first, *_rest] = set_up(ratna, user)
    code = next_code_of(user) if kind == "app" else first
    clients = [sign_in_again(user) for _ in range(4)]
    statuses = at_once(4, lambda n: clients[n].post(CHECK, {"code": code}).status_code)
    assert sorted(statuses) == [200, 200, 200, 302]
    assert [client.get(LIST).status_code for client in clients].count(200) == 1


def test_api_requires_no_two_factor(api: Any, settings: Any) -> None:
    settings.STAFF_OTP = "required"
    assert api.get("/api/devices").status_code == 200


def test_reset_by_an_operator_is_recorded(operator: Client, ratna: Client, user: User) -> None:
    set_up(ratna, user)
    chosen = {"action": "reset_two_factor", "_selected_action": user.pk}
    assert (
        "First verify that this user requested it."
        in operator.post("/admin/devices/staffuser/", chosen).content.decode()
    )
    operator.post("/admin/devices/staffuser/", {**chosen, "confirmed": "1"})
    assert sign_in_again(user).get(LIST).status_code == 200
    event = AuditEvent.objects.get(action="two_factor_reset")
    assert (event.username, event.object_id) == ("operator", user.pk)


def test_command_resets_two_factor_of_an_operator_and_logs_it(
    operator: Client, caplog: pytest.LogCaptureFixture
) -> None:
    operator_user = User.objects.get(username="operator")
    set_up(operator, operator_user)
    call_command("reset_two_factor", "operator")
    assert f"reset two-factor authentication of user {operator_user.pk}." in caplog.text
    assert not two_factor.is_enrolled(operator_user)
    with pytest.raises(CommandError, match=r"User unknown-user does not exist\.$"):
        call_command("reset_two_factor", "unknown-user")


def test_next_page_cannot_be_on_another_host(ratna: Client, user: User) -> None:
    codes = set_up(ratna, user)
    for code, page in zip(codes, ("https://evil.example/", "//evil.example", "javascript:alert(1)"), strict=False):
        response = sign_in_again(user).post(f"{CHECK}?next={page}", {"code": code})
        assert response.headers["Location"] == "/admin/"


def test_no_page_shows_the_secret_after_set_up(operator: Client, ratna: Client, user: User) -> None:
    ratna.get(SET_UP)
    secret = two_factor.format_secret(AuthenticatorApp.objects.get(user=user))
    assert secret in ratna.get(SET_UP).content.decode()
    set_up(ratna, user)
    pages = [ratna.get(SET_UP), operator.get(f"/admin/devices/staffuser/{user.pk}/change/")]
    assert not [page for page in pages if secret in page.content.decode()]
    for page in ("otp_totp/totpdevice", "devices/authenticatorapp"):
        assert operator.get(f"/admin/{page}/").status_code == 404
