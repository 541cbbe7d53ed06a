"""Session data is encrypted in the database, so a copy of the database does not grant access."""

import json
from typing import Any

import pytest
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.core import signing
from django.db import connection
from django.test import Client

from devices.accounts import users
from devices.accounts.sessions import CONTEXT, SessionStore
from devices.crypto import encryption
from devices.models import Session
from devices.tests.support.admin.sessions import is_open, key_of
from devices.tests.support.admin.two_factor import SET_UP, rotate_secret_key

TOKEN = "_password_reset_token"


@pytest.fixture
def user(ratna: Client) -> User:
    return User.objects.get(first_name="Ibu Ratna")


def stored() -> str:
    """Return the content of the session table, as in a backup."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {Session._meta.db_table}")
        return repr(cursor.fetchall())


def decoded(text: str) -> list[Any]:
    """Return the data that a reader could decode if it were in Django's format."""
    try:
        return [signing.loads(text, salt=SessionStore().key_salt), signing.b64_decode(text.encode())]
    except (signing.BadSignature, ValueError):
        return []


def test_stored_session_has_no_token_of_an_opened_password_link(user: User) -> None:
    path = users.create_password_link(user)
    browser = Client()
    assert browser.get(path).status_code == 302
    token = SessionStore(key_of(browser))[TOKEN]
    assert token in path
    table = stored()
    for secret in (token, *SessionStore(key_of(browser)).keys(), key_of(browser)):
        assert secret not in table
    for row in Session.objects.all():
        assert decoded(row.session_data) == []
        assert decoded(row.session_data.removeprefix(encryption.PREFIX)) == []


def test_stored_session_does_not_disclose_the_names_of_its_data(ratna: Client) -> None:
    ratna.get(SET_UP)
    data = SessionStore(key_of(ratna)).load()
    assert SESSION_KEY in data
    table = stored()
    assert [name for name in data if name in table] == []
    assert data["_auth_user_hash"] not in table


def test_equal_data_is_stored_differently(db: None) -> None:
    texts = {SessionStore().encode({"x": 1}) for _ in range(20)}
    assert len(texts) == 20
    assert [SessionStore().decode(text) for text in texts] == [{"x": 1}] * 20


def test_session_stays_valid_while_the_old_key_is_a_fallback(ratna: Client, settings: Any) -> None:
    assert is_open(ratna)
    rotate_secret_key(settings, keep=True)
    assert is_open(ratna)
    SessionStore(key_of(ratna)).save()
    settings.SECRET_KEY_FALLBACKS = []
    assert SessionStore(key_of(ratna)).load()[SESSION_KEY]


def test_session_is_empty_without_the_key_that_encrypted_it(ratna: Client, settings: Any) -> None:
    rotate_secret_key(settings, keep=False)
    assert SessionStore(key_of(ratna)).load() == {}
    assert not is_open(ratna)


@pytest.mark.parametrize("text", ["", "v1.", "v1.AAAA", "x", "é", "v1.\N{SNOWMAN}", "{}", "a:b:c"])
def test_data_that_is_not_encrypted_is_an_empty_session(ratna: Client, text: str) -> None:
    Session.objects.update(session_data=text)
    assert SessionStore(key_of(ratna)).load() == {}
    assert not is_open(ratna)


def test_data_in_djangos_format_is_an_empty_session(ratna: Client) -> None:
    data = SessionStore(key_of(ratna)).load()
    Session.objects.update(session_data=signing.dumps(data, salt=SessionStore().key_salt))
    assert not is_open(ratna)


@pytest.mark.parametrize("position", [3, 20, 40, -30])
def test_data_that_was_tampered_with_is_an_empty_session(ratna: Client, position: int) -> None:
    text = list(Session.objects.get().session_data)
    text[position] = "A" if text[position] != "A" else "B"
    Session.objects.update(session_data="".join(text))
    assert SessionStore(key_of(ratna)).load() == {}
    assert not is_open(ratna)


def test_encrypted_totp_secret_is_not_accepted_as_session_data(db: None) -> None:
    ciphertext = encryption.encrypt_totp_secret(json.dumps({SESSION_KEY: "1"}).encode(), 1)
    assert encryption.decrypt(ciphertext, context=CONTEXT) is None
    assert SessionStore().decode(ciphertext) == {}
