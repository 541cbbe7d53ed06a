"""Sessions are stored by a hash of their key, and end when their user ends them or the sign-in changes."""

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from devices.accounts import sessions, two_factor, users
from devices.accounts.sessions import SessionStore, hash_key
from devices.audit.audit_log import Action
from devices.models import AuditEvent, AuthenticatorApp, Hospital, Session
from devices.tests.support.admin.sessions import SESSIONS, USERS, is_open, key_of
from devices.tests.support.admin.two_factor import SET_UP, code_shown, next_code_of, set_up
from devices.tests.support.admin.users import PASSWORD, set_password

NEW_PASSWORD = "sore-teduh-8"


def signed_in(user: User, **headers: str) -> Client:
    client = Client(headers=headers)
    client.force_login(user)
    client.get("/admin/")
    return client


def ended() -> list[tuple[int | None, Any]]:
    """Return the user ids and numbers of ended sessions in the audit log."""
    events = AuditEvent.objects.filter(action=Action.SESSION_ENDED).order_by("pk")
    return [(event.object_id, event.details["count"]) for event in events]


@pytest.fixture
def user(ratna: Client) -> User:
    return User.objects.get(first_name="Ibu Ratna")


# --- Storage


def test_database_contains_no_valid_session_key(ratna: Client) -> None:
    assert is_open(ratna)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {Session._meta.db_table}")
        stored = str(cursor.fetchall())
    assert key_of(ratna) not in stored
    thief = Client()
    thief.cookies[django_settings.SESSION_COOKIE_NAME] = Session.objects.get().pk
    assert not is_open(thief)


def test_unknown_key_is_not_adopted(db: None) -> None:
    store = SessionStore("chosen-by-an-attacker")
    assert store.load() == {}
    store["x"] = 1
    store.save()
    assert store.session_key != "chosen-by-an-attacker"


def test_session_keeps_its_start_and_last_use(ratna: Client, user: User) -> None:
    before = Session.objects.get()
    Session.objects.update(last_seen_at=timezone.now() - timedelta(minutes=9))
    ratna.get("/admin/", REMOTE_ADDR="192.0.2.7", headers={"user-agent": "Firefox " + "x" * 500})
    after = Session.objects.get()
    assert (after.user_id, after.ip_address, after.user_agent[:8]) == (user.pk, "192.0.2.7", "Firefox ")
    assert after.created_at == before.created_at
    assert timezone.now() - after.last_seen_at < timedelta(minutes=1)


def test_key_is_replaced_and_start_kept_when_the_session_key_cycles(ratna: Client, user: User) -> None:
    ratna.get("/admin/")
    [before] = Session.objects.all()
    store = SessionStore(key_of(ratna))
    store.cycle_key()
    [after] = Session.objects.all()
    assert (after.pk, after.created_at, after.user_id) == (hash_key(store.session_key), before.created_at, user.pk)


def test_expired_session_is_neither_valid_nor_listed(ratna: Client, user: User) -> None:
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert not sessions.sessions_of(user)
    assert not is_open(ratna)
    SessionStore.clear_expired()
    assert not Session.objects.filter(user_id=user.pk).exists()


# --- Own sessions


def test_user_sees_their_own_sessions_only(user: User, operator: Client) -> None:
    current = signed_in(user, user_agent="Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0")
    signed_in(user, user_agent="Phone of Ratna")
    operator.get("/admin/", headers={"user-agent": "Browser of the operator"})
    page = current.get(SESSIONS)
    content = page.content.decode()
    assert "Firefox, Windows" in content
    assert "Phone of Ratna" in content
    assert "Browser of the operator" not in content
    assert "IP address: 127.0.0.1" in content
    assert "no-store" in page["Cache-Control"]
    assert key_of(current) not in content


def test_user_ends_one_of_their_sessions(user: User) -> None:
    current, lost, other = (signed_in(user) for _ in range(3))
    current.post(SESSIONS, {"session": hash_key(key_of(lost))})
    assert [is_open(client) for client in (current, lost, other)] == [True, False, True]
    assert ended() == [(user.pk, 1)]


def test_user_ends_all_their_other_sessions(user: User, ratna: Client) -> None:
    current, lost = signed_in(user), signed_in(user)
    current.post(SESSIONS, {"others": ""})
    assert [is_open(client) for client in (current, lost, ratna)] == [True, False, False]
    assert ended() == [(user.pk, 2)]


@pytest.mark.parametrize("chosen", ["foreign", "own", "x", "", "\0", "'"])
def test_session_that_is_not_another_one_of_the_user_is_not_ended(
    user: User, ratna: Client, operator: Client, chosen: str
) -> None:
    other = signed_in(user)
    ids = {"foreign": hash_key(key_of(operator)), "own": hash_key(key_of(ratna))}
    assert ratna.post(SESSIONS, {"session": ids.get(chosen, chosen)}).status_code == 302
    assert [is_open(client) for client in (ratna, other, operator)] == [True] * 3
    assert ended() == []


def test_get_ends_no_session(user: User, ratna: Client) -> None:
    signed_in(user).get(SESSIONS, {"others": "1"})
    assert is_open(ratna)


# --- Sessions of another user


def test_operator_sees_how_many_sessions_a_user_has_and_ends_them(operator: Client, ratna: Client, user: User) -> None:
    other = signed_in(user)
    page = operator.get(f"{USERS}{user.pk}/change/")
    assert page.context["adminform"].model_admin.number_of_sessions(user) == 2
    chosen = {"action": "end_sessions", "_selected_action": user.pk}
    assert "1 user will be signed out of all sessions" in operator.post(USERS, chosen).content.decode()
    assert is_open(ratna)
    operator.post(USERS, {**chosen, "confirmed": "1"})
    assert [is_open(client) for client in (operator, ratna, other)] == [True, False, False]
    assert ended() == [(user.pk, 2)]


def test_hospital_admin_ends_no_session_of_another_user(ratna: Client, operator: Client) -> None:
    chosen = {"action": "end_sessions", "_selected_action": User.objects.get(username="operator").pk, "confirmed": "1"}
    assert ratna.post(USERS, chosen).status_code == 403
    assert is_open(operator)


# --- Changes of the sign-in


def changes_password(user: User) -> None:
    user.set_password(NEW_PASSWORD)
    user.save()


def uses_link(user: User) -> None:
    set_password(Client(), users.create_password_link(user), NEW_PASSWORD)


def is_deactivated_and_activated_again(user: User) -> None:
    for is_active in (False, True):
        user.is_active = is_active
        user.save()


def resets_by_command(user: User) -> None:
    call_command("reset_two_factor", user.username, stderr=io.StringIO())


@pytest.mark.parametrize(
    "change",
    [changes_password, uses_link, is_deactivated_and_activated_again, resets_by_command, two_factor.reset],
)
def test_all_sessions_end_when_a_way_to_sign_in_changes(
    user: User, ratna: Client, operator: Client, change: Callable[[User], None]
) -> None:
    change(user)
    assert not Session.objects.filter(user_id=user.pk).exists()
    assert not is_open(ratna)
    assert is_open(operator)
    assert ended() == [(user.pk, 1)]


def test_new_password_ends_all_sessions_except_the_current_one(rs_a: Hospital) -> None:
    user = users.invite("Ibu Sari", "sari@rs.example", [rs_a])
    user.set_password("pagi-cerah-7")
    user.save()
    current, other = signed_in(user), signed_in(user)
    form = {"old_password": "pagi-cerah-7", "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    assert current.post("/admin/password_change/", form).status_code == 302
    assert [is_open(client) for client in (current, other)] == [True, False]
    assert Session.objects.filter(user_id=user.pk).count() == 1


def test_sign_in_ends_no_session(user: User, ratna: Client) -> None:
    assert is_open(signed_in(user))
    assert is_open(ratna)


# --- The TOTP secret


def secret_shown(page: Any) -> str:
    return str(page.context["secret"])


def test_two_sessions_never_see_the_same_secret(user: User) -> None:
    thief, victim = signed_in(user), signed_in(user)
    secrets = [secret_shown(client.get(SET_UP)) for client in (thief, victim, thief, victim)]
    assert secrets[:2] == secrets[2:]
    assert len(set(secrets)) == 2


def test_secret_of_another_session_is_not_confirmed(user: User) -> None:
    thief, victim = signed_in(user), signed_in(user)
    for client in (thief, victim):
        client.get(SET_UP)
    foreign = AuthenticatorApp.objects.get(name=hash_key(key_of(thief)))
    page = victim.post(SET_UP, {"code": code_shown(foreign), "password": PASSWORD})
    assert "This code is wrong" in page.content.decode()
    assert not two_factor.is_enrolled(user)


def test_set_up_ends_all_other_sessions_and_their_secrets(user: User, ratna: Client) -> None:
    current = signed_in(user)
    ratna.get(SET_UP)
    current.get(SET_UP)
    app = AuthenticatorApp.objects.get(name=hash_key(key_of(current)))
    assert current.post(SET_UP, {"code": code_shown(app), "password": PASSWORD}).status_code == 200
    assert list(AuthenticatorApp.objects.filter(user=user)) == [app]
    assert [is_open(client) for client in (current, ratna)] == [True, False]
    assert ended() == [(user.pk, 1)]


def test_second_session_that_confirms_does_not_replace_the_first(user: User) -> None:
    ids = [hash_key(key_of(signed_in(user))) for _ in range(2)]
    [first, second] = [two_factor.start_enrollment(user, session_id) for session_id in ids]
    assert two_factor.confirm_enrollment(user, code_shown(first), ids[0]) == first
    assert two_factor.confirm_enrollment(user, code_shown(second), ids[1]) is None
    assert AuthenticatorApp.objects.get(user=user, confirmed=True) == first


def test_unconfirmed_secret_is_removed_with_its_session(user: User, ratna: Client) -> None:
    ratna.get(SET_UP)
    ratna.post("/admin/logout/")
    signed_in(user).get(SET_UP)
    assert AuthenticatorApp.objects.filter(user=user).count() == 1


@pytest.mark.parametrize("password", [None, "", "wrong"])
def test_set_up_checks_no_code_without_the_password(user: User, ratna: Client, password: str | None) -> None:
    ratna.get(SET_UP)
    code = code_shown(AuthenticatorApp.objects.get(user=user))
    form = {"code": code} | ({} if password is None else {"password": password})
    assert list(ratna.post(SET_UP, form).context["form"].errors) == ["password"]
    assert not two_factor.is_enrolled(user)
    assert ratna.post(SET_UP, {"code": code, "password": PASSWORD}).status_code == 200
    assert two_factor.is_enrolled(user)


def test_session_from_before_a_reset_cannot_set_it_up(user: User, ratna: Client) -> None:
    set_up(ratna, user)
    two_factor.reset(user)
    assert ratna.get(SET_UP).headers["Location"].startswith("/admin/login/")
    ratna.post(SET_UP, {"code": "000000", "password": PASSWORD})
    assert not AuthenticatorApp.objects.filter(user=user).exists()


def test_user_who_turns_it_off_stays_signed_in(user: User, ratna: Client) -> None:
    set_up(ratna, user)
    other = signed_in(user)
    ratna.post(SET_UP, {"turn_off": "1", "code": next_code_of(user)})
    assert is_open(ratna)
    assert not is_open(other)
