"""A second factor for the admin: codes of an authenticator app (TOTP, RFC 6238), and ten recovery codes.

Each code works once. A user may send five wrong codes within 15 minutes from a network. A day they may send 20 from
each network where they gave a right one within 30 days, and 20 from all others together. Three codes are valid at a
time, so 20 guesses succeed once in 16,000 days. Attempts elsewhere keep no user out of a network in use, and a new
password starts the counts again; django-otp would count for all networks together, with a wait that doubles without
end. A session that gave a code already has its own counts, so a thief of its cookie keeps no user from signing in.

The app's secret is encrypted. Of a recovery code a digest is stored, keyed with the SECRET_KEY: who has the database
could try all 40 random bits. What a key of SECRET_KEY_FALLBACKS encrypted or digested remains valid.
"""

from base64 import b32encode
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.crypto import salted_hmac
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken

from devices.access import current
from devices.access.client_ip import client_network
from devices.accounts import notifications, sessions, sign_in_limits
from devices.audit import audit_log
from devices.audit.audit_log import Action, ObjectType
from devices.crypto import encryption
from devices.models import AuthenticatorApp, Session
from devices.values.rates import Limit, Rate

HASH_SALT = "devices.second_factor"  # stored recovery codes depend on it: another value would invalidate them
RECOVERY_CODES = 10
DIGITS = 6
WRONG_CODES = Rate(5, "15min")  # of a user in a network
WRONG_CODES_PER_DAY = Rate(20, "d")


def is_enrolled(user: Any) -> bool:
    return bool(AuthenticatorApp.objects.filter(user=user, confirmed=True).exists())


@transaction.atomic
def start_enrollment(user: User, session_id: str) -> AuthenticatorApp:
    """Return the session's unconfirmed app, or a new one: no two sessions have the same secret.

    Until an app is confirmed, its name is the id of its session.
    """
    _lock(user)  # two pages of a session that load at once show the same secret
    unconfirmed = AuthenticatorApp.objects.filter(user=user, confirmed=False)
    unconfirmed.exclude(name=session_id).exclude(name__in=Session.objects.values("pk")).delete()  # of ended sessions
    app: AuthenticatorApp
    app, _created = AuthenticatorApp.objects.get_or_create(user=user, confirmed=False, name=session_id)
    return app


def format_secret(app: AuthenticatorApp) -> str:
    """Return the secret for users who cannot scan it: base32, in groups of four."""
    text = b32encode(app.bin_key).decode().rstrip("=")
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


@transaction.atomic
def confirm_enrollment(user: User, code: str, session_id: str) -> AuthenticatorApp | None:
    """Set up the session's app if the code is right; return None if it is wrong, or if another app is set up.

    Raises:
        TooManyAttempts: too many wrong codes were sent.
    """
    app = start_enrollment(user, session_id)  # which locks: of two sessions that confirm at once, the second one fails
    if is_enrolled(user) or not _is_right(user, app, code):
        return None
    AuthenticatorApp.objects.filter(user=user).exclude(pk=app.pk).delete()
    app.confirmed, app.name = True, "app"
    app.save(update_fields=["confirmed", "name"])
    audit_log.record(Action.TWO_FACTOR_ENABLED, obj=user)
    notifications.notify(user, notifications.TWO_FACTOR_ENABLED)
    sessions.end_others(user)
    return app


@transaction.atomic
def verify(user: User, code: str) -> AuthenticatorApp | StaticDevice | None:
    """Return the app or the recovery codes that the code is of; None if it is wrong or was used before.

    Raises:
        TooManyAttempts: too many wrong codes were sent.
    """
    _lock(user)  # one at a time: codes sent at once are counted too
    text = "".join(code.split()).lower()
    is_of_app = len(text) == DIGITS and text.isdecimal()
    model = AuthenticatorApp if is_of_app else StaticDevice
    device = model.objects.filter(user=user, confirmed=True).first()
    return device if device and _is_right(user, device, text if is_of_app else _stored(user, text)) else None


@transaction.atomic
def new_recovery_codes(user: User) -> list[str]:
    """Replace all recovery codes, and return the new ones. They cannot be shown again.

    The device that they belong to remains, and so do the sessions that were verified by one of them.
    """
    _lock(user)  # of two requests at once, the codes of the later one remain
    device, _new = StaticDevice.objects.get_or_create(user=user, name="recovery")
    device.token_set.all().delete()
    codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=_digest(code)) for code in codes)
    audit_log.record(Action.RECOVERY_CODES_CREATED, obj=user)
    notifications.notify(user, notifications.RECOVERY_CODES_CREATED)
    return codes


def recovery_codes_left(user: User) -> int:
    return int(StaticToken.objects.filter(device__user=user).count())


@transaction.atomic
def reset(user: User) -> None:
    """Delete the app and the recovery codes of a user, and end the user's other sessions."""
    AuthenticatorApp.objects.filter(user=user).delete()
    StaticDevice.objects.filter(user=user).delete()
    audit_log.record(Action.TWO_FACTOR_RESET, obj=user)
    notifications.notify(user, notifications.TWO_FACTOR_RESET)
    sessions.end_others(user)


def _lock(user: User) -> None:
    User.objects.select_for_update().get(pk=user.pk)


def _digest(code: str, key: str | None = None) -> str:
    """Return the digest of a recovery code: 80 bits, for which django-otp has room. Default: by the SECRET_KEY."""
    return b32encode(salted_hmac(HASH_SALT, code, secret=key, algorithm="sha256").digest()[:10]).decode().lower()


def _stored(user: User, code: str) -> str:
    """Return the stored digest of this recovery code, by any of the keys; if there is none, the one by today's key."""
    digests = [_digest(code, key) for key in encryption.secret_keys()]
    stored = StaticToken.objects.filter(device__user=user, token__in=digests).values_list("token", flat=True).first()
    return str(stored or digests[0])


def _is_right(user: User, device: AuthenticatorApp | StaticDevice, code: str) -> bool:
    """Check the code, and count it if it is wrong. The user is locked.

    Raises:
        TooManyAttempts: too many wrong codes were sent, and this one was not checked.
    """
    limits = _limits(user)
    sign_in_limits.raise_if_used_up(limits)
    if device.verify_token(code):
        return True
    sign_in_limits.count(limits)
    return False


def _limits(user: User) -> list[Limit]:
    """Return the limits of wrong codes: of the network, and a day of all networks together that are new to the user.

    A session that gave a code already has its own.
    """
    request = current.current_request.get()
    if request is not None and request.user.is_verified():  # type: ignore[union-attr]  # added by django-otp
        whose = place = f"session:{sessions.current_id()[:40]}"
    else:
        network = client_network(request) if request else None
        is_known = audit_log.was_done_from(
            network, Action.CODE_ACCEPTED, object_type=ObjectType.USER, object_id=user.pk
        )
        account = f"{user.pk}:{salted_hmac(HASH_SALT, user.password).hexdigest()[:12]}"
        whose, place = f"{account}:{network}", f"{account}:{network if is_known else 'new'}"
    return [(f"code:{whose}", WRONG_CODES), (f"day-code:{place}", WRONG_CODES_PER_DAY)]
