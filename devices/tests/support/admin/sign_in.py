"""Sign in, and send codes, within limits."""

import time
from typing import Any

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django.test import Client

from devices.ratelimit import stores
from devices.tests.support.admin.two_factor import CHECK, next_code_of, set_up, sign_in_again
from devices.tests.support.admin.users import PASSWORD

WRONG = "wrong"


@pytest.fixture(autouse=True)
def _one_window() -> None:
    """Stop the clock of the rate limits, so that no window ends during a test."""
    began_at = time.time() // 86_400 * 86_400
    stores.limiter().clock = lambda: began_at


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Hash fast, and return the list of hashed passwords."""
    hashed: list[str] = []
    monkeypatch.setattr(PBKDF2PasswordHasher, "iterations", 1)
    encode = PBKDF2PasswordHasher.encode

    def recording_encode(hasher: Any, password: str, salt: str, iterations: int | None = None) -> str:
        hashed.append(password)
        return str(encode(hasher, password, salt, iterations))

    monkeypatch.setattr(PBKDF2PasswordHasher, "encode", recording_encode)
    return hashed


@pytest.fixture
def user(db: None, hashes: list[str]) -> User:
    user = User.objects.create_superuser("keeper", password=PASSWORD)
    hashes.clear()
    return user


def sign_in(name: str, password: str = WRONG, address: str = "192.0.2.1", client: Client | None = None) -> Any:
    form = {"username": name, "password": password, "next": "/admin/"}
    return (client or Client()).post("/admin/login/", form, REMOTE_ADDR=address)


def send_code(user: User, code: str, address: str = "192.0.2.1") -> str:
    """Sign in with the password only, and send a code. Return "in", "wait" or "wrong"."""
    response = sign_in_again(user).post(CHECK, {"code": code}, REMOTE_ADDR=address)
    if response.status_code == 302:
        return "in"
    return "wait" if "Too many wrong codes" in response.content.decode() else "wrong"


@pytest.fixture
def protected(user: User) -> User:
    """A user with two-factor authentication who entered a code from 198.51.100.1."""
    set_up(sign_in_again(user), user)
    assert send_code(user, next_code_of(user), "198.51.100.1") == "in"
    return user
