"""Wrong codes of a verified session count only for this session."""

from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from devices.accounts import sessions
from devices.ratelimit import stores
from devices.tests.support.admin.sign_in import send_code
from devices.tests.support.admin.two_factor import CHECK, SET_UP, next_code_of, sign_in_again

LIMIT_MESSAGE = "Too many wrong codes"
NETWORK = "198.51.100.1"  # known to `protected`
ADD = "/admin/devices/staffuser/add/"
FIELDS = {CHECK: "code", SET_UP: "code", ADD: "identity-code"}  # by page


def verified(user: User) -> Client:
    client = sign_in_again(user)
    assert client.post(CHECK, {"code": next_code_of(user)}, REMOTE_ADDR=NETWORK).status_code == 302
    return client


def send(client: Client, page: str, code: str = "000000") -> Any:
    form = {FIELDS[page]: code, "renew": "1"}
    return client.post(page, form, REMOTE_ADDR=NETWORK)


@pytest.fixture
def _not_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "is_fresh", lambda _request: False)


@pytest.mark.usefixtures("_not_fresh")
@pytest.mark.parametrize("page", FIELDS)
def test_wrong_codes_of_a_verified_session_do_not_lock_out_the_user(protected: User, page: str) -> None:
    stolen, own = verified(protected), verified(protected)
    pages = [send(stolen, page).content.decode() for _ in range(6)]
    assert [LIMIT_MESSAGE in text for text in pages] == [False] * 5 + [True]
    assert LIMIT_MESSAGE in send(stolen, page, next_code_of(protected)).content.decode()
    assert LIMIT_MESSAGE not in send(own, page, next_code_of(protected)).content.decode()
    assert send_code(protected, next_code_of(protected), NETWORK) == "in"


def test_verified_session_has_twenty_wrong_codes_a_day(protected: User, monkeypatch: pytest.MonkeyPatch) -> None:
    began_at, client, texts = stores.limiter().clock(), verified(protected), []
    for quarter in range(5):
        monkeypatch.setattr(stores.limiter(), "clock", partial(float, began_at + quarter * 900))
        texts += [send(client, CHECK).content.decode() for _ in range(5)]
    assert [LIMIT_MESSAGE in text for text in texts] == [False] * 20 + [True] * 5
    assert send_code(protected, next_code_of(protected), NETWORK) == "in"


def test_wrong_codes_at_sign_in_do_not_stop_a_verified_session(protected: User) -> None:
    client = verified(protected)
    assert [send_code(protected, "000000", NETWORK) for _ in range(6)] == ["wrong"] * 5 + ["wait"]
    assert LIMIT_MESSAGE not in send(client, SET_UP, next_code_of(protected)).content.decode()
