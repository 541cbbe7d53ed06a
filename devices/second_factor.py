"""A second factor for the admin: codes of an authenticator app (TOTP, RFC 6238), and ten recovery codes.

Each code works once. A user may send five wrong ones within 15 minutes from a network, and 20 a day from each network
where they gave a right one within 30 days and from all others together. Three codes are valid at a time, so 20 guesses
succeed once in 16,000 days. Attempts elsewhere keep no user out of a network in use, and a new password starts the
counts again; django-otp would count for all networks together, with a wait that doubles without end. A session that
gave a code already has counts of its own, so a thief of its cookie keeps no user from signing in.

The app's secret is kept sealed. Of a recovery code a digest is kept, keyed with the SECRET_KEY: who has the database
could try out its 40 random bits. What an older key of SECRET_KEY_FALLBACKS has sealed or digested goes on working.
"""

from base64 import b32encode
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django_otp import verify_token
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken

from devices import audit, notifications, seal, sessions, sign_in_limits
from devices.audit import About, What
from devices.counters import leases
from devices.models import AuditEvent, AuthenticatorApp, Session
from devices.origin import client_network, network_of
from devices.rates import Rate
from devices.sign_in_limits import Limit, TooManyAttempts

RECOVERY_CODES = 10
DIGITS = 6
WRONG = Rate(5, "15min")  # of a user in a network
WRONG_A_DAY = Rate(20, "d")
KNOWN_FOR = timedelta(days=30)


class Wait(Exception):
    """Too many wrong codes were sent: none is looked at for so many seconds."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"Wait for {seconds} seconds.")


def is_set_up(user: Any) -> bool:
    return bool(AuthenticatorApp.objects.filter(user=user, confirmed=True).exists())


@transaction.atomic
def begin(user: User, session_id: str) -> AuthenticatorApp:
    """Return the session's unconfirmed app, or a new one: no two sessions have the same secret.

    Until an app is confirmed, its name is the id of its session.
    """
    User.objects.select_for_update().get(pk=user.pk)  # two pages of a session that load at once show the same secret
    unconfirmed = AuthenticatorApp.objects.filter(user=user, confirmed=False)
    unconfirmed.exclude(name=session_id).exclude(name__in=Session.objects.values("pk")).delete()  # of ended sessions
    begun = unconfirmed.filter(name=session_id).order_by("pk")
    app: AuthenticatorApp | None = next((app for app in begun if app.opens), None)
    return app or AuthenticatorApp.objects.create(user=user, confirmed=False, name=session_id)


def secret_of(device: AuthenticatorApp) -> str:
    """Return the secret as people type it where they cannot scan: base32, in groups of four."""
    text = b32encode(device.bin_key).decode().rstrip("=")
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def address_of(device: AuthenticatorApp) -> str:
    """Return the otpauth: URI that a QR code holds. https://github.com/google/google-authenticator/wiki/Key-Uri-Format"""
    return str(device.config_url)


@transaction.atomic
def confirm(user: User, code: str, session_id: str) -> AuthenticatorApp | None:
    """Set up the session's app if the code is right; return None if it is wrong, or if another app is set up.

    Raises:
        Wait: too many wrong codes were sent.
    """
    device = begin(user, session_id)  # which locks: of two sessions that confirm at once, the second one fails
    if is_set_up(user) or _checked(user, device, code) is None:
        return None
    AuthenticatorApp.objects.filter(user=user).exclude(pk=device.pk).delete()
    device.confirmed, device.name = True, "app"
    device.save(update_fields=["confirmed", "name"])
    audit.note(What.SECOND_FACTOR_SET_UP, about=user)
    notifications.notify(user, notifications.SECOND_FACTOR_SET_UP)
    sessions.end_others(user)
    return device


def check(user: Any, code: str) -> AuthenticatorApp | StaticDevice | None:
    """Return what the code is of, the app or the recovery codes; None if it is wrong or was used before.

    Raises:
        Wait: too many wrong codes were sent.
    """
    text = "".join(code.split()).lower()
    is_of_app = len(text) == DIGITS and text.isdecimal()
    model = AuthenticatorApp if is_of_app else StaticDevice
    device = model.objects.filter(user=user, confirmed=True).first()
    return _checked(user, device, text if is_of_app else _kept(user, text)) if device else None


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
    notifications.notify(user, notifications.RECOVERY_CODES_MADE)
    return codes


def recovery_codes_left(user: User) -> int:
    return int(StaticToken.objects.filter(device__user=user).count())


@transaction.atomic
def reset(user: User) -> None:
    """Delete the app and the recovery codes of a user, and end the user's other sessions."""
    AuthenticatorApp.objects.filter(user=user).delete()
    StaticDevice.objects.filter(user=user).delete()
    audit.note(What.SECOND_FACTOR_RESET, about=user)
    notifications.notify(user, notifications.SECOND_FACTOR_RESET)
    sessions.end_others(user)


def _digest(code: str, key: str | None = None) -> str:
    """Return what is kept of a recovery code, by this key, else today's: 80 bits, for which django-otp has room."""
    return b32encode(salted_hmac(__name__, code, secret=key, algorithm="sha256").digest()[:10]).decode().lower()


def _kept(user: User, code: str) -> str:
    """Return what is kept of this recovery code, by whichever key; if nothing is, what would be by today's."""
    digests = [_digest(code, key) for key in seal.secret_keys()]
    kept = StaticToken.objects.filter(device__user=user, token__in=digests).values_list("token", flat=True).first()
    return str(kept or digests[0])


@transaction.atomic
def _checked(user: User, device: Any, code: str) -> Any:
    """Return the device if the code is right; if not, count it.

    Raises:
        Wait: too many wrong codes were sent, and this one was not checked.
    """
    User.objects.select_for_update().get(pk=user.pk)  # one at a time: those sent at once are counted too
    limits = _limits(user)
    try:
        sign_in_limits.raise_if_used_up(limits)
    except TooManyAttempts as error:
        raise Wait(error.seconds) from error
    found = verify_token(user, device.persistent_id, code)
    if found is None:
        for name, rate in limits:
            leases().take(name, rate, strict=True)
    return found


def _limits(user: User) -> list[Limit]:
    """Return what wrong codes are counted under: the network, and for a day all networks that are new to the user.

    Of a session that gave a code already: the session only.
    """
    request = audit.current_request.get()
    if request is not None and request.user.is_verified():  # type: ignore[union-attr]  # added by django-otp
        session = sessions.current_id()[:40]
        return [(f"code:session:{session}", WRONG), (f"day-code:session:{session}", WRONG_A_DAY)]
    network = client_network(request) if request else None
    codes = AuditEvent.objects.filter(
        what=What.CODE_ACCEPTED, about=About.PERSON, about_id=user.pk, at__gte=timezone.now() - KNOWN_FOR
    )
    known = {network_of(address) for address in codes.values_list("address", flat=True)}
    password = salted_hmac(__name__, user.password).hexdigest()[:12]
    place = network if network in known else "new"
    return [(f"code:{user.pk}:{password}:{network}", WRONG), (f"day-code:{user.pk}:{password}:{place}", WRONG_A_DAY)]
