"""Commands change how operators sign in, and print password links."""

import io
import re

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from devices.models import StaffUser
from devices.tests.support.admin.step_up import colleague, sign_in_state, user
from devices.tests.support.admin.users import set_password

__all__ = ["colleague", "user"]  # fixtures


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_command_creates_a_password_link_for_an_operator(
    colleague: StaffUser, caplog: pytest.LogCaptureFixture
) -> None:
    path = run("make_password_link", "colleague").strip()
    assert re.fullmatch(r"/admin/set-password/\S+/", path)
    assert f"made a link for user {colleague.pk}." in caplog.text
    assert path.split("/")[-2] not in caplog.text
    assert "Your password is set." in set_password(Client(), path, "sore-teduh-8").content.decode()


def test_command_changes_email_and_activation_of_an_operator(colleague: StaffUser) -> None:
    run("change_user", "colleague", "--email", "New@vendor.example", "--deactivate")
    colleague.refresh_from_db()
    assert (colleague.username, colleague.email, colleague.is_active) == ("colleague", "new@vendor.example", False)
    run("change_user", "colleague", "--activate")
    colleague.refresh_from_db()
    assert colleague.is_active


def test_command_changes_the_user_name_of_a_hospital_admin_with_the_email(user: StaffUser) -> None:
    run("change_user", "ratna@rs.example", "--email", "ratna@other.example")
    assert StaffUser.objects.get(pk=user.pk).username == "ratna@other.example"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["unknown-user", "--activate"], "Error: argument USERNAME: User unknown-user does not exist."),
        (["colleague"], "Specify --email, --activate or --deactivate."),
        (["colleague", "--email", "x"], "Error: argument --email: Enter a valid email address."),
        (["colleague", "--email", "ratna@rs.example"], "A user with this email address already exists."),
    ],
)
def test_command_that_cannot_change_a_user_shows_the_reason(
    user: StaffUser, colleague: StaffUser, arguments: list[str], message: str
) -> None:
    before = sign_in_state()
    with pytest.raises(CommandError, match=rf"^{re.escape(message)}$"):
        run("change_user", *arguments)
    assert sign_in_state() == before
