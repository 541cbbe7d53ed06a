"""Users are notified by email of changes to their sign-in, and of API keys that they issue."""

import socket
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client

from devices.accounts import two_factor, users
from devices.models import ApiKey, Hospital, StaffUser
from devices.tests.support.admin.api_keys import LEGACY_KEY
from devices.tests.support.admin.step_up import operator_user, user, user_form
from devices.tests.support.admin.two_factor import SET_UP, next_code_of, set_up
from devices.tests.support.admin.users import USERS, set_password, shown_link

__all__ = ["operator_user", "user"]  # fixtures

KEYS = "/admin/devices/apikey/"


@pytest.fixture
def sent(django_capture_on_commit_callbacks: Any) -> Any:
    """Return a function that runs `do` and returns recipients and first lines of the emails that it sends."""

    def run(do: Any) -> list[tuple[str, str]]:
        mail.outbox.clear()
        with django_capture_on_commit_callbacks(execute=True):
            do()
        return [(to, message.body.split("\n")[0]) for message in mail.outbox for to in message.to]

    return run


def test_user_is_notified_of_changes_by_others(
    operator: Client, user: StaffUser, rs_a: Hospital, rs_b: Hospital, sent: Any
) -> None:
    old, new = "ratna@rs.example", "ratna@other.example"

    def act(action: str) -> list[tuple[str, str]]:
        chosen = {"action": action, "_selected_action": user.pk, "confirmed": "1"}
        return list(sent(lambda: operator.post(USERS, chosen)))

    assert act("send_link") == [(old, "A link to set a new password was created.")]
    assert act("reset_two_factor") == [(old, "Two-factor authentication was turned off or reset.")]
    Client().force_login(user)
    assert act("end_sessions") == [(old, "An operator ended your sessions.")]
    assert act("end_sessions") == []
    form = user_form(rs_a, email=new)
    change = f"{USERS}{user.pk}/change/"
    assert sent(lambda: operator.post(change, form)) == [
        (new, "Your email address was changed."),
        (old, "Your email address was changed."),
    ]
    form = user_form(rs_b, email=new)
    assert sent(lambda: operator.post(change, form)) == [(new, "Your hospitals were changed.")]
    del form["is_active"]
    assert sent(lambda: operator.post(change, form)) == [(new, "Your account was deactivated.")]


def test_user_is_notified_of_own_changes(ratna: Client, user: StaffUser, sent: Any) -> None:
    emails = sent(lambda: set_up(ratna, user))
    assert emails == [
        ("ratna@rs.example", "Two-factor authentication was set up."),
        ("ratna@rs.example", "New recovery codes were created."),
    ]
    emails = sent(lambda: ratna.post(SET_UP, {"renew": "1", "code": next_code_of(user)}))
    assert emails == [("ratna@rs.example", "New recovery codes were created.")]
    path = users.create_password_link(user)
    emails = sent(lambda: set_password(Client(), path, "sore-teduh-8"))
    assert emails == [("ratna@rs.example", "The password of your account was changed.")]


def test_operator_is_notified_of_issued_imported_and_rotated_keys(
    operator: Client, operator_user: User, sent: Any
) -> None:
    User.objects.filter(pk=operator_user.pk).update(email="operator@vendor.example")
    form = {"name": "ward app", "unknown_holder": "register", "all_hospitals": "on", "value": ""}
    assert sent(lambda: operator.post(f"{KEYS}add/", form)) == [
        ("operator@vendor.example", "You issued the API key “ward app”.")
    ]
    key = ApiKey.objects.get()
    assert "Anda menerbitkan kunci API “ward app”." in mail.outbox[0].body
    assert key.prefix not in mail.outbox[0].body
    imported = sent(lambda: operator.post(f"{KEYS}add/", form | {"name": "{old}", "value": LEGACY_KEY}))
    assert imported == [("operator@vendor.example", "You imported the API key “{old}”.")]
    assert LEGACY_KEY not in mail.outbox[0].body
    chosen = {"action": "rotate", "_selected_action": key.pk, "confirmed": "1", "overlap": "0"}
    assert sent(lambda: operator.post(KEYS, chosen)) == [
        ("operator@vendor.example", "You rotated the API key “ward app”.")
    ]
    assert sent(lambda: operator.post(KEYS, chosen)) == []  # the old key is expired, nothing is rotated


def test_email_is_in_both_languages_and_has_no_link(user: StaffUser, sent: Any) -> None:
    sent(lambda: users.create_password_link(user))
    [message] = mail.outbox
    assert message.subject == "Device registry: security notice / Registri perangkat: pemberitahuan keamanan"
    assert "ratna@rs.example" in message.body
    assert "Tautan untuk membuat kata sandi baru telah dibuat." in message.body
    assert "set-password" not in message.body


def test_user_without_an_email_address_is_not_notified(operator_user: User, sent: Any) -> None:
    assert sent(lambda: two_factor.reset(operator_user)) == []


@pytest.mark.django_db(transaction=True)
def test_failure_of_the_mail_server_is_logged_and_has_no_other_effect(
    operator: Client, user: StaffUser, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # it does not listen
        settings.EMAIL_HOST, settings.EMAIL_PORT = bound.getsockname()
        response = operator.post(USERS, {"action": "send_link", "_selected_action": user.pk}, follow=True)
    assert shown_link(response)
    assert "refused" in caplog.text


def test_without_email_url_no_email_is_sent() -> None:
    from cexup import settings

    assert settings.EMAIL_BACKEND == "django.core.mail.backends.dummy.EmailBackend"
    assert settings.EMAIL_TIMEOUT == 5
