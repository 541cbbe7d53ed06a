"""Operators see which users are invited, locked or inactive, and act on the page of a user."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from devices.accounts import two_factor, user_states, users
from devices.accounts.user_states import UserState
from devices.models import ApiKey, AuditEvent, Hospital, StaffUser
from devices.tests.support.admin.two_factor import set_up
from devices.tests.support.admin.users import USERS, set_password, shown_link

LOGIN = "/admin/login/"


@pytest.fixture
def user(ratna: Client) -> StaffUser:
    return StaffUser.objects.get(first_name="Ibu Ratna")


def state_of(user: User) -> UserState:
    return user_states.state_of(user_states.with_states(StaffUser.objects.filter(pk=user.pk)).get())


def fail_to_sign_in(times: int, **headers: str) -> None:
    for _ in range(times):
        Client().post(LOGIN, {"username": "ratna@rs.example", "password": "wrong"}, **headers)  # type: ignore[arg-type]


def cells_of(client: Client, name: str) -> str:
    """Return the row of this user in the list as text."""
    page = client.get(USERS).content.decode()
    [row] = [row for row in re.findall(r"(?s)<tr.*?</tr>", page) if f">{name}<" in row]
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", row)).split())


# --- States


def test_invited_user_is_active_after_setting_a_password(rs_a: Hospital) -> None:
    invited = users.invite("Budi", "budi@rs.example", [rs_a])
    assert state_of(invited) is UserState.LINK_EXPIRED  # no link was created yet
    path = users.create_password_link(invited)
    assert state_of(invited) is UserState.INVITED
    set_password(Client(), path, "sore-teduh-8")
    assert state_of(invited) is UserState.ACTIVE


def test_link_expires_after_three_days(rs_a: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    invited = users.invite("Budi", "budi@rs.example", [rs_a])
    users.create_password_link(invited)
    later = timezone.now() + timedelta(days=3, seconds=1)
    monkeypatch.setattr("devices.accounts.user_states.timezone.now", lambda: later)
    assert state_of(invited) is UserState.LINK_EXPIRED


def test_deactivated_user_is_inactive_even_if_locked(user: StaffUser) -> None:
    fail_to_sign_in(5)
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert state_of(user) is UserState.INACTIVE


def test_locked_user_is_active_again_after_fifteen_minutes(user: StaffUser, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_to_sign_in(4)
    assert state_of(user) is UserState.ACTIVE
    fail_to_sign_in(1)
    assert state_of(user) is UserState.LOCKED
    end = user_states.locked_until(user)
    assert end is not None
    assert timedelta(minutes=14) < end - timezone.now() <= timedelta(minutes=15)
    monkeypatch.setattr("devices.accounts.user_states.timezone.now", lambda: end + timedelta(seconds=1))
    assert state_of(user) is UserState.ACTIVE
    assert user_states.locked_until(user) is None


def test_failures_from_several_networks_do_not_add_up(user: StaffUser) -> None:
    for number in range(1, 7):
        fail_to_sign_in(1, REMOTE_ADDR=f"192.0.2.{number}")
    assert state_of(user) is UserState.ACTIVE


def test_failures_with_several_browsers_of_one_network_add_up(user: StaffUser) -> None:
    for number in range(5):
        fail_to_sign_in(1, HTTP_USER_AGENT=f"Browser {number}")
    assert state_of(user) is UserState.LOCKED


# --- The list


def test_list_shows_state_and_two_factor_of_each_user(
    operator: Client, ratna: Client, user: StaffUser, rs_a: Hospital
) -> None:
    users.create_password_link(users.invite("Budi", "budi@rs.example", [rs_a]))
    set_up(ratna, user)
    fail_to_sign_in(5)
    assert re.match(r"(Ibu Ratna) ratna@rs\.example RS Harapan Locked On", cells_of(operator, "Ibu Ratna"))
    assert "budi@rs.example RS Harapan Invited Off" in cells_of(operator, "Budi")
    assert re.match(r"operator – Operator Active Off", cells_of(operator, "operator"))


def test_list_has_no_crosses_and_needs_no_query_for_each_user(
    operator: Client, rs_a: Hospital, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        users.invite(f"User {number}", f"user{number}@rs.example", [rs_a])
    with django_assert_max_num_queries(20):
        page = operator.get(USERS).content.decode()
    assert "icon-no" not in page
    table = page.partition('id="result_list"')[2].partition("</table>")[0]
    assert not re.search(r"material-symbols-outlined[^>]*>\s*close\s*<", table)


# --- The form of an invitation


def test_invitation_has_a_heading_and_a_button_that_says_what_happens(operator: Client, rs_a: Hospital) -> None:
    page = operator.get(f"{USERS}add/").content.decode()
    assert re.search(r"<h1[^>]*>Invite a hospital admin</h1>", page)
    assert re.search(r'name="_save"[^>]*>\s*Create the invitation link\s*<', page)
    assert "_addanother" not in page
    assert "manage.py createsuperuser" in page
    assert "There is no hospital yet" not in page


def test_invitation_without_a_hospital_leads_to_the_form_of_a_hospital(operator: Client) -> None:
    page = operator.get(f"{USERS}add/").content.decode()
    assert "There is no hospital yet" in page
    assert 'href="/admin/devices/hospital/add/"' in page


# --- The page of a user


def test_page_of_a_locked_user_shows_until_when_and_what_ends_it(operator: Client, user: StaffUser) -> None:
    fail_to_sign_in(5)
    page = operator.get(f"{USERS}{user.pk}/change/").content.decode()
    assert re.search(r"Locked until (\d+(:\d\d)? [ap]\.m\.|noon|midnight) after too many wrong passwords", page)
    link = shown_link(operator.post(f"{USERS}{user.pk}/new-link/", {"confirmed": "1"}))
    set_password(Client(), link, "sore-teduh-8")
    assert state_of(user) is UserState.ACTIVE


def test_buttons_change_nothing_before_they_are_confirmed(operator: Client, ratna: Client, user: StaffUser) -> None:
    set_up(ratna, user)
    page = operator.get(f"{USERS}{user.pk}/change/").content.decode()
    before = AuditEvent.objects.count(), ApiKey.objects.count()
    for button in ("new-link", "reset-two-factor"):
        assert f'href="{USERS}{user.pk}/{button}/"' in page
        for method in (operator.get, operator.post):
            assert 'name="confirmed" value="1"' in method(f"{USERS}{user.pk}/{button}/").content.decode()
    assert (AuditEvent.objects.count(), ApiKey.objects.count()) == before
    assert two_factor.is_enrolled(user)


def test_two_factor_is_reset_on_the_page_of_the_user(operator: Client, ratna: Client, user: StaffUser) -> None:
    set_up(ratna, user)
    response = operator.post(f"{USERS}{user.pk}/reset-two-factor/", {"confirmed": "1"}, follow=True)
    assert response.redirect_chain == [(f"{USERS}{user.pk}/change/", 302)]
    assert "Two-factor authentication of 1 user was reset." in response.content.decode()
    assert not two_factor.is_enrolled(user)


def test_page_of_an_operator_has_no_buttons_that_change_the_sign_in(operator: Client) -> None:
    for boss in (User.objects.get(username="operator"), User.objects.create_superuser("boss")):
        assert "new-link" not in operator.get(f"{USERS}{boss.pk}/change/").content.decode()
        for button in ("new-link", "reset-two-factor"):
            assert operator.post(f"{USERS}{boss.pk}/{button}/", {"confirmed": "1"}).status_code == 403


@pytest.mark.parametrize("name", ["x", "0", "9" * 30])
@pytest.mark.parametrize("button", ["new-link", "reset-two-factor", "link"])
def test_page_of_a_missing_user_is_404(operator: Client, name: str, button: str) -> None:
    assert operator.get(f"{USERS}{name}/{button}/").status_code == 404
