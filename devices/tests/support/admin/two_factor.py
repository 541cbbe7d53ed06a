"""Two-factor authentication."""

import re
import time
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django_otp.oath import TOTP

from devices.models import AuthenticatorApp
from devices.tests.support.admin.users import PASSWORD

CHECK, SET_UP = "/admin/two-factor/", "/admin/two-factor/set-up/"


def code_of(user: User, later: int = 0) -> str:
    """Return the code that the user's app shows, now or `later` steps of 30 s from now."""
    return code_shown(AuthenticatorApp.objects.get(user=user), later)


def code_shown(app: AuthenticatorApp, later: int = 0) -> str:
    totp = TOTP(app.bin_key)
    totp.time = time.time() + 30 * later
    return f"{totp.token():06d}"


def next_code_of(user: User) -> str:
    """Return a code that is accepted although the previous one was just used."""
    AuthenticatorApp.objects.update(last_t=-1)
    return code_of(user)


def set_up(client: Client, user: User) -> list[str]:
    """Set up two-factor authentication for the signed-in client. Return the recovery codes that the page shows."""
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
    """Change the SECRET_KEY, and keep the old one as a fallback or not."""
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY] if keep else []
    settings.SECRET_KEY = "the next one, " + "y" * 40
