"""A second factor for the admin: set up with an app, asked for at each sign-in, each code once."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken

from devices.accounts import two_factor
from devices.models import AuditEvent, AuthenticatorApp
from devices.tests.support.concurrency import at_once
from devices.tests.support.two_factor import CHECK, SET_UP, code_of, next_code_of, set_up, shown_codes, signed_in_anew
from devices.tests.support.users import PASSWORD

LIST = "/admin/devices/device/"


@pytest.fixture
def person(ratna: Client) -> User:
    return User.objects.get(first_name="Ibu Ratna")


def test_set_up_with_the_apps_code_and_asked_for_at_the_next_sign_in(ratna: Client, person: User) -> None:
    assert len(set_up(ratna, person)) == 10
    assert ratna.get(LIST).status_code == 200
    again = signed_in_anew(person)
    assert again.get(LIST).headers["Location"] == f"{CHECK}?next=/admin/devices/device/"
    answer = again.post(f"{CHECK}?next={LIST}", {"code": next_code_of(person)})
    assert (answer.status_code, answer.headers["Location"]) == (302, LIST)
    assert again.get(LIST).status_code == 200


def test_no_page_of_the_admin_opens_without_the_code(ratna: Client, person: User) -> None:
    set_up(ratna, person)
    again = signed_in_anew(person)
    for path in ("/admin/", LIST, f"{LIST}add/", SET_UP, "/admin/password_change/", "/admin/autocomplete/"):
        for method in (again.get, again.post):
            assert method(path).headers["Location"].startswith(CHECK), path
    answer = again.post(SET_UP, {"turn_off": "1", "code": next_code_of(person)})
    assert answer.headers["Location"].startswith(CHECK)
    assert two_factor.is_enrolled(person)


def test_below_a_prefix_no_page_opens_without_the_code_either(ratna: Client, person: User) -> None:
    set_up(ratna, person)
    answer = signed_in_anew(person).get(LIST, SCRIPT_NAME="/registry")
    assert answer.headers["Location"] == f"{CHECK}?next=/registry{LIST}"


def test_a_code_works_once(ratna: Client, person: User) -> None:
    code_of_app = set_up(ratna, person) and code_of(person)
    again = signed_in_anew(person)
    page = again.post(CHECK, {"code": code_of_app}).content.decode()
    assert "was used already" in page
    assert again.get(LIST).status_code == 302


def test_a_recovery_code_works_once(ratna: Client, person: User) -> None:
    first = set_up(ratna, person)[0]
    assert signed_in_anew(person).post(CHECK, {"code": f" {first.upper()} "}).status_code == 302
    assert "wrong" in signed_in_anew(person).post(CHECK, {"code": first}).content.decode()
    assert "9 recovery codes are left" in ratna.get(SET_UP).content.decode()


def test_new_recovery_codes_end_the_old_ones(ratna: Client, person: User) -> None:
    old = set_up(ratna, person)[0]
    page = ratna.post(SET_UP, {"renew": "1", "code": next_code_of(person)}).content.decode()
    assert len(shown_codes(page)) == 10
    assert "wrong" in signed_in_anew(person).post(CHECK, {"code": old}).content.decode()
    assert "10 recovery codes are left" in ratna.get(SET_UP).content.decode()


def test_who_guesses_has_to_wait(ratna: Client, person: User) -> None:
    set_up(ratna, person)
    again = signed_in_anew(person)
    pages = [again.post(CHECK, {"code": "000000"}).content.decode() for _ in range(6)]
    assert "Too many wrong codes. Try again in" in pages[-1]
    again.post(CHECK, {"code": next_code_of(person)})  # even the right one, until then
    assert again.get(LIST).status_code == 302


def test_a_code_of_somebody_else_opens_nothing(ratna: Client, person: User, operator: Client) -> None:
    set_up(ratna, person)
    boss = User.objects.get(username="operator")
    codes = set_up(operator, boss)
    again = signed_in_anew(person)
    assert "wrong" in again.post(CHECK, {"code": codes[0]}).content.decode()


def test_a_wrong_code_sets_nothing_up(ratna: Client, person: User) -> None:
    ratna.get(SET_UP)
    page = ratna.post(SET_UP, {"code": "000000", "password": PASSWORD}).content.decode()
    assert "This code is wrong" in page
    assert not two_factor.is_enrolled(person)
    assert ratna.get(LIST).status_code == 200


def test_where_it_is_required_it_is_set_up_at_the_first_sign_in(ratna: Client, person: User, settings: Any) -> None:
    settings.STAFF_OTP = "required"
    assert ratna.get(LIST).headers["Location"].startswith(SET_UP)
    assert re.search(r"<button[^>]*>\s*Continue\s*</button>", ratna.get(SET_UP).content.decode())
    set_up(ratna, person)
    assert ratna.get(LIST).status_code == 200
    assert "Turn it off" not in ratna.get(SET_UP).content.decode()
    ratna.post(SET_UP, {"turn_off": "1", "code": next_code_of(person)})
    assert two_factor.is_enrolled(person)


def test_where_it_is_optional_it_can_be_turned_off_by_a_code(ratna: Client, person: User) -> None:
    set_up(ratna, person)
    ratna.post(SET_UP, {"turn_off": "1", "code": next_code_of(person)})
    assert signed_in_anew(person).get(LIST).status_code == 200


@pytest.mark.parametrize("code", [None, "", "000000", "aaaaaaaa"])
@pytest.mark.parametrize("what", ["turn_off", "renew"])
def test_a_session_alone_neither_turns_it_off_nor_gets_new_codes(
    ratna: Client, person: User, what: str, code: str | None
) -> None:
    set_up(ratna, person)
    kept = list(StaticToken.objects.values())
    answer = ratna.post(SET_UP, {what: "1"} | ({} if code is None else {"code": code}))
    assert (answer.status_code, answer.context["form"].errors.keys()) == (200, {"code"})
    assert two_factor.is_enrolled(person)
    assert list(StaticToken.objects.values()) == kept


def test_who_came_in_by_a_recovery_code_stays_in_when_the_codes_are_renewed(ratna: Client, person: User) -> None:
    first, second, *_rest = set_up(ratna, person)
    again = signed_in_anew(person)
    again.post(CHECK, {"code": first})
    again.post(SET_UP, {"renew": "1", "code": second})
    assert again.get(LIST).status_code == 200


def test_what_is_kept_of_a_recovery_code_opens_nothing(ratna: Client, person: User) -> None:
    codes = set_up(ratna, person)
    kept = list(StaticToken.objects.values_list("token", flat=True))
    assert len(kept) == 10
    assert not set(kept) & set(codes)
    StaticDevice.objects.update(throttling_failure_count=0)
    assert "wrong" in signed_in_anew(person).post(CHECK, {"code": kept[0]}).content.decode()


def test_what_people_do_with_their_own_is_recorded(ratna: Client, person: User) -> None:
    set_up(ratna, person)
    ratna.post(SET_UP, {"renew": "1", "code": next_code_of(person)})
    ratna.post(SET_UP, {"turn_off": "1", "code": next_code_of(person)})
    events = AuditEvent.objects.filter(user=person, object_type="user", object_id=person.pk).order_by("pk")
    kinds = ("two_factor_enabled", "recovery_codes_created", "two_factor_reset")
    assert [event.action for event in events if event.action in kinds] == [*kinds[:2], *kinds[1:]]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["app", "recovery"])
def test_of_two_who_send_the_same_code_at_once_one_comes_in(ratna: Client, person: User, kind: str) -> None:
    [first, *_rest] = set_up(ratna, person)
    code = next_code_of(person) if kind == "app" else first
    clients = [signed_in_anew(person) for _ in range(4)]
    came_in = at_once(4, lambda n: clients[n].post(CHECK, {"code": code}).status_code)
    assert sorted(came_in) == [200, 200, 200, 302]
    assert [client.get(LIST).status_code for client in clients].count(200) == 1


def test_the_api_knows_no_two_factor(api: Any, settings: Any) -> None:
    settings.STAFF_OTP = "required"
    assert api.get("/api/devices").status_code == 200


def test_an_operator_resets_it_for_somebody_and_that_is_recorded(operator: Client, ratna: Client, person: User) -> None:
    set_up(ratna, person)
    chosen = {"action": "reset_two_factor", "_selected_action": person.pk}
    assert "Make sure who asks." in operator.post("/admin/devices/staffuser/", chosen).content.decode()
    operator.post("/admin/devices/staffuser/", {**chosen, "confirmed": "1"})
    assert signed_in_anew(person).get(LIST).status_code == 200
    event = AuditEvent.objects.get(action="two_factor_reset")
    assert (event.username, event.object_id) == ("operator", person.pk)


def test_the_last_operator_is_let_in_by_a_command_which_is_logged(
    operator: Client, caplog: pytest.LogCaptureFixture
) -> None:
    boss = User.objects.get(username="operator")
    set_up(operator, boss)
    call_command("reset_two_factor", "operator")
    assert f"reset two-factor authentication of user {boss.pk}." in caplog.text
    assert not two_factor.is_enrolled(boss)
    with pytest.raises(CommandError, match=r"User nobody does not exist\.$"):
        call_command("reset_two_factor", "nobody")


def test_the_next_page_is_one_of_ours(ratna: Client, person: User) -> None:
    codes = set_up(ratna, person)
    for code, page in zip(codes, ("https://evil.example/", "//evil.example", "javascript:alert(1)"), strict=False):
        answer = signed_in_anew(person).post(f"{CHECK}?next={page}", {"code": code})
        assert answer.headers["Location"] == "/admin/"


def test_the_secret_is_on_no_page_once_it_is_set_up(operator: Client, ratna: Client, person: User) -> None:
    ratna.get(SET_UP)
    secret = two_factor.format_secret(AuthenticatorApp.objects.get(user=person))
    assert secret in ratna.get(SET_UP).content.decode()
    set_up(ratna, person)
    pages = [ratna.get(SET_UP), operator.get(f"/admin/devices/staffuser/{person.pk}/change/")]
    assert not [page for page in pages if secret in page.content.decode()]
    for page in ("otp_totp/totpdevice", "devices/authenticatorapp"):
        assert operator.get(f"/admin/{page}/").status_code == 404
