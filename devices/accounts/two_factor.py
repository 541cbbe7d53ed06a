"""Two-factor authentication of the admin: codes of an authenticator app (TOTP, RFC 6238), and ten recovery codes.

Each code is valid once. Wrong codes are limited for each user:

- to five within 15 minutes from one network;
- to 20 a day from each network in which the user entered a valid code within 30 days;
- to 20 a day from all other networks together.

At any time three codes are valid, so 20 guesses a day succeed once in 16,000 days. Attempts elsewhere lock out no user
in a network in use, and a new password resets the counts. The throttling of django-otp would count all networks
together, with a wait that doubles without a limit. A verified session has separate counts, so the thief of its cookie
cannot stop the user from signing in.

The app's secret is encrypted. Of a recovery code only a digest is stored. The digest is keyed with the SECRET_KEY,
because an attacker with the database could try all 40 random bits. Values that use a key of SECRET_KEY_FALLBACKS stay
valid.
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

RECOVERY_CODES = 10
SALT = "devices.second_factor"  # stored digests of recovery codes depend on it
DIGITS = 6
WRONG_CODES = Rate(5, "15min")  # of a user, from one network
WRONG_CODES_PER_DAY = Rate(20, "d")


def is_enrolled(user: Any) -> bool:
    return bool(AuthenticatorApp.objects.filter(user=user, confirmed=True).exists())


@transaction.atomic
def start_enrollment(user: User, session_id: str) -> AuthenticatorApp:
    """Return the session's unconfirmed app, or a new one. Each session has a different secret.

    The name of an unconfirmed app is the id of its session.
    """
    _lock(user)  # two pages of a session that load concurrently show the same secret
    unconfirmed = AuthenticatorApp.objects.filter(user=user, confirmed=False)
    unconfirmed.exclude(name=session_id).exclude(name__in=Session.objects.values("pk")).delete()  # of ended sessions
    app: AuthenticatorApp
    app, _created = AuthenticatorApp.objects.get_or_create(user=user, confirmed=False, name=session_id)
    return app


def format_secret(app: AuthenticatorApp) -> str:
    """Return the secret as text for users who cannot scan the QR code: base32, in groups of four."""
    text = b32encode(app.bin_key).decode().rstrip("=")
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


@transaction.atomic
def confirm_enrollment(user: User, code: str, session_id: str) -> AuthenticatorApp | None:
    """Confirm the session's app if the code is valid. Return None if it is not, or if the user has a confirmed app.

    Raises:
        TooManyAttempts: too many wrong codes were sent.
    """
    app = start_enrollment(user, session_id)  # it locks the user: of two concurrent sessions, the second fails
    if is_enrolled(user) or not _is_valid(user, app, code):
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
    """Return the device of a valid code: the app or the recovery codes. Return None if the code is wrong or used.

    Raises:
        TooManyAttempts: too many wrong codes were sent.
    """
    _lock(user)  # concurrent codes are checked one after the other, and counted
    text = "".join(code.split()).lower()
    is_app_code = len(text) == DIGITS and text.isdecimal()
    model = AuthenticatorApp if is_app_code else StaticDevice
    device = model.objects.filter(user=user, confirmed=True).first()
    return device if device and _is_valid(user, device, text if is_app_code else _stored_digest(user, text)) else None


@transaction.atomic
def new_recovery_codes(user: User) -> list[str]:
    """Replace all recovery codes, and return the new ones. They cannot be shown again.

    Their django-otp device remains, so sessions that were verified with a recovery code stay verified.
    """
    _lock(user)  # of two concurrent requests, the codes of the later one remain
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
    """Return the digest of a recovery code, keyed with the SECRET_KEY by default: 80 bits fit django-otp's column."""
    return b32encode(salted_hmac(SALT, code, secret=key, algorithm="sha256").digest()[:10]).decode().lower()


def _stored_digest(user: User, code: str) -> str:
    """Return the stored digest of this recovery code with any of the keys, or else the digest with the SECRET_KEY."""
    digests = [_digest(code, key) for key in encryption.secret_keys()]
    stored = StaticToken.objects.filter(device__user=user, token__in=digests).values_list("token", flat=True).first()
    return str(stored or digests[0])


def _is_valid(user: User, device: AuthenticatorApp | StaticDevice, code: str) -> bool:
    """Check the code, and count it if it is wrong. The caller holds a lock on the user.

    Raises:
        TooManyAttempts: too many wrong codes were sent, and this one was not checked.
    """
    limits = _limits(user)
    sign_in_limits.raise_if_reached(limits)
    if device.verify_token(code):
        return True
    sign_in_limits.count(limits)
    return False


def _limits(user: User) -> list[Limit]:
    """Return the limits of wrong codes, for 15 minutes and for a day, by network.

    All networks that are new to the user share the daily limit. A verified session has its own limits.
    """
    request = current.current_request.get()
    if request is not None and request.user.is_verified():  # type: ignore[union-attr]  # added by django-otp
        short = day = f"session:{sessions.current_id()[:40]}"
    else:
        network = client_network(request) if request else None
        is_known = audit_log.was_done_from(
            network, Action.CODE_ACCEPTED, object_type=ObjectType.USER, object_id=user.pk
        )
        account = f"{user.pk}:{salted_hmac(SALT, user.password).hexdigest()[:12]}"
        short, day = f"{account}:{network}", f"{account}:{network if is_known else 'new'}"
    return [(f"code:{short}", WRONG_CODES), (f"day-code:{day}", WRONG_CODES_PER_DAY)]
