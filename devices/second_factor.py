"""A second factor for the admin: codes of an authenticator app (TOTP, RFC 6238), and ten recovery codes.

Each code works once. Wrong ones make the next try wait, twice as long each time (django-otp's throttling). Of a
recovery code a digest is kept, keyed with the SECRET_KEY: who has the database could try out its 40 random bits.
"""

from base64 import b32encode
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django_otp import verify_token
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from devices import audit
from devices.audit import What

RECOVERY_CODES = 10
DIGITS = 6


class Wait(Exception):
    """Too many wrong codes were sent: none is looked at for so many seconds."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"Wait for {seconds} seconds.")


def is_set_up(user: Any) -> bool:
    return bool(TOTPDevice.objects.filter(user=user, confirmed=True).exists())


@transaction.atomic
def begin(user: User) -> TOTPDevice:
    """Return the secret that an app is to learn, the same until it has been confirmed by a code of the app."""
    User.objects.select_for_update().get(pk=user.pk)  # two pages that are opened at once show the same
    device = TOTPDevice.objects.filter(user=user, confirmed=False).order_by("pk").first()
    return device or TOTPDevice.objects.create(user=user, confirmed=False, name="app")


def secret_of(device: TOTPDevice) -> str:
    """Return the secret as people type it where they cannot scan: base32, in groups of four."""
    text = b32encode(device.bin_key).decode().rstrip("=")
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def address_of(device: TOTPDevice) -> str:
    """Return the otpauth: URI that a QR code holds. https://github.com/google/google-authenticator/wiki/Key-Uri-Format"""
    return str(device.config_url)


@transaction.atomic
def confirm(user: User, code: str) -> TOTPDevice | None:
    """Take the secret in use if the code is the app's; None if it is not.

    Raises:
        Wait: too many wrong codes were sent.
    """
    device = begin(user)
    if _checked(user, device, code) is None:
        return None
    TOTPDevice.objects.filter(user=user).exclude(pk=device.pk).delete()
    device.confirmed = True
    device.save(update_fields=["confirmed"])
    audit.note(What.SECOND_FACTOR_SET_UP, about=user)
    return device


def check(user: Any, code: str) -> TOTPDevice | StaticDevice | None:
    """Return what the code is of, the app or the recovery codes; None if it is wrong or was used before.

    Raises:
        Wait: too many wrong codes were sent.
    """
    text = "".join(code.split()).lower()
    is_of_app = len(text) == DIGITS and text.isdecimal()
    model = TOTPDevice if is_of_app else StaticDevice
    device = model.objects.filter(user=user, confirmed=True).first()
    return _checked(user, device, text if is_of_app else _digest(text)) if device else None


@transaction.atomic
def new_recovery_codes(user: User) -> list[str]:
    """Return new recovery codes, in place of all that there were. No page shows them again.

    What they belong to stays, and with it the sessions of who came in by one of them.
    """
    User.objects.select_for_update().get(pk=user.pk)  # of two who ask at once, the later one's codes are what is left
    device, _new = StaticDevice.objects.get_or_create(user=user, name="recovery")
    device.token_set.all().delete()
    codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=_digest(code)) for code in codes)
    audit.note(What.RECOVERY_CODES_MADE, about=user)
    return codes


def recovery_codes_left(user: User) -> int:
    return int(StaticToken.objects.filter(device__user=user).count())


@transaction.atomic
def reset(user: User) -> None:
    """Forget the app and the recovery codes, of somebody who has lost them."""
    TOTPDevice.objects.filter(user=user).delete()
    StaticDevice.objects.filter(user=user).delete()
    audit.note(What.SECOND_FACTOR_RESET, about=user)


def _digest(code: str) -> str:
    """Return what is kept of a recovery code: 80 bits, which is what django-otp has room for."""
    return b32encode(salted_hmac(__name__, code, algorithm="sha256").digest()[:10]).decode().lower()


def _checked(user: User, device: Any, code: str) -> Any:
    allowed, reason = device.verify_is_allowed()
    if not allowed:
        until = (reason or {}).get("locked_until", timezone.now())
        raise Wait(max(1, round((until - timezone.now()).total_seconds())))
    return verify_token(user, device.persistent_id, code)
