"""The admin does not change how operators sign in, neither the signed-in one nor others."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from devices.accounts import two_factor
from devices.models import Hospital, StaffUser
from devices.tests.support.admin.step_up import colleague, operator_user, sign_in_state, user
from devices.tests.support.admin.two_factor import set_up
from devices.tests.support.admin.users import USERS

__all__ = ["colleague", "operator_user", "user"]  # fixtures


@pytest.mark.parametrize("action", ["send_link", "reset_two_factor"])
def test_no_action_changes_own_sign_in(operator: Client, operator_user: User, action: str) -> None:
    set_up(operator, operator_user)
    before = sign_in_state()
    chosen = {"action": action, "_selected_action": operator_user.pk, "confirmed": "1"}
    assert "click your name at the lower left" in operator.post(USERS, chosen, follow=True).content.decode()
    assert sign_in_state() == before


@pytest.mark.parametrize("action", ["send_link", "reset_two_factor"])
def test_no_action_changes_the_sign_in_of_another_operator(operator: Client, colleague: StaffUser, action: str) -> None:
    two_factor.start_enrollment(colleague, "x")
    before = sign_in_state()
    chosen = {"action": action, "_selected_action": colleague.pk, "confirmed": "1"}
    page = operator.post(USERS, chosen, follow=True).content.decode()
    assert "manage.py reset_two_factor colleague" in page
    assert sign_in_state() == before


def test_reset_of_several_users_is_rejected_if_one_is_an_operator(
    operator: Client, ratna: Client, user: StaffUser, colleague: StaffUser
) -> None:
    set_up(ratna, user)
    chosen = {"action": "reset_two_factor", "_selected_action": [user.pk, colleague.pk], "confirmed": "2"}
    assert "is an operator" in operator.post(USERS, chosen, follow=True).content.decode()
    assert two_factor.is_enrolled(user)


@pytest.mark.parametrize("username", ["operator", "colleague"])
def test_form_changes_only_the_name_of_an_operator(
    operator: Client, colleague: StaffUser, rs_a: Hospital, username: str
) -> None:
    user = User.objects.get(username=username)
    page = operator.get(f"{USERS}{user.pk}/change/").content.decode()
    assert f"manage.py change_user {username}" in page
    before = sign_in_state()
    form = {"first_name": "Boss", "email": "thief@evil.example", "hospitals": [rs_a.pk]}
    assert operator.post(f"{USERS}{user.pk}/change/", form).status_code == 302
    assert sign_in_state() == before
    user.refresh_from_db()
    assert user.first_name == "Boss"


def test_reason_is_escaped(operator: Client, colleague: StaffUser) -> None:
    User.objects.filter(pk=colleague.pk).update(first_name="<script>x</script>")
    assert "<script>x" not in operator.get(f"{USERS}{colleague.pk}/change/").content.decode()
