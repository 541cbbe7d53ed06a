"""Two-factor authentication."""

import re
import time
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django_otp.oath import TOTP

from devices.models import AuthenticatorApp
from devices.tests.support.users import PASSWORD

CHECK, SET_UP = "/admin/two-factor/", "/admin/two-factor/set-up/"


def code_of(user: User, later: int = 0) -> str:
    """What the person's app shows, now or so many steps of 30 s later."""
    return code_shown(AuthenticatorApp.objects.get(user=user), later)


def code_shown(app: AuthenticatorApp, later: int = 0) -> str:
    totp = TOTP(app.bin_key)
    totp.time = time.time() + 30 * later
    return f"{totp.token():06d}"


def next_code_of(user: User) -> str:
    """What the app shows when half a minute has gone by."""
    AuthenticatorApp.objects.update(last_t=-1)
    return code_of(user)


def set_up(client: Client, user: User) -> list[str]:
    """Set up the second factor in a browser that is signed in; return the recovery codes that are shown."""
    client.get(SET_UP)
    return shown_codes(client.post(SET_UP, {"code": code_of(user), "password": PASSWORD}).content.decode())


def shown_codes(page: str) -> list[str]:
    [shown] = re.findall(r'<code id="key"[^>]*>([^<]+)</code>', page)
    return str(shown).split()


def sign_in_again(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def rotate_secret_key(settings: Any, *, keep: bool) -> None:
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY] if keep else []
    settings.SECRET_KEY = "the next one, " + "y" * 40
