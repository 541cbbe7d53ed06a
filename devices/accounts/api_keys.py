"""Issue, import, rotate and revoke API keys. Each operation writes history. Only the digest of a key is stored."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from devices.access.actor import Actor
from devices.accounts.sandbox import get_or_create_sandbox
from devices.crypto import keys
from devices.history import recording
from devices.models import ApiKey, Hospital, now_ms
from devices.values.error_codes import AdminErrorCode
from devices.values.errors import UNIQUE, FieldError, ValidationFailed

SETTINGS = (  # fields that can be set for a new key
    *("all_hospitals", "read_only", "naming", "rate", "page_size", "unknown_holder", "allowed_networks"),
    *("sandbox", "expires_at"),
)


def default_naming(*, is_legacy: bool) -> ApiKey.Naming:
    """Return the naming of a key for which none is chosen. The clients of a legacy key can read either spelling."""
    return ApiKey.Naming.BOTH if is_legacy else ApiKey.Naming.SNAKE_CASE


@dataclass(frozen=True)
class IssuedKey:
    """A new key and its text, which is shown only once."""

    key: ApiKey
    text: str = field(repr=False)


@transaction.atomic
def issue(name: str, actor: Actor, hospitals: Collection[Hospital] = (), **settings: Any) -> IssuedKey:
    """Issue a new key for this client application. `settings` are values of SETTINGS.

    A key has access to `hospitals`, or with `all_hospitals` to all devices. With neither it has access to nothing. A
    key with `sandbox` always has access to the sandbox only.
    """
    sandbox = bool(settings.get("sandbox"))
    if sandbox:
        hospitals, settings["all_hospitals"] = [get_or_create_sandbox(actor)], False
    text = keys.generate(sandbox=sandbox)
    key = ApiKey(name=name, prefix=keys.prefix(text), digest=keys.digest(text), **settings)
    return IssuedKey(_add(key, hospitals, actor), text)


@transaction.atomic
def import_key(text: str, name: str, actor: Actor, hospitals: Collection[Hospital] = (), **settings: Any) -> ApiKey:
    """Import a key that an existing client already uses. It is marked as legacy: it can be guessed and must be rotated.

    The default naming is `both`, because the key does not say which names its client reads.

    Raises:
        ValidationError: `check_legacy` rejects the key, or it has the setting `sandbox`.
        ValidationFailed: another request imported the same key after the check.
    """
    check_legacy(text)
    if settings.get("sandbox"):
        raise ValidationError(_("An imported key cannot be a sandbox key. Issue a new key for the sandbox."), "invalid")
    naming = {"naming": default_naming(is_legacy=True)}
    key = ApiKey(name=name, digest=keys.digest(text), legacy=True, **{**naming, **settings})
    try:
        with transaction.atomic():
            return _add(key, hospitals, actor)
    except IntegrityError as error:
        raise ValidationFailed([FieldError("value", UNIQUE, _("This API key is already registered."))]) from error


def check_legacy(text: str) -> None:
    """Check that the key can be imported. No message contains the key.

    Raises:
        ValidationError: the key has the form of an issued key, has the wrong length, or is already registered.
    """
    if not keys.is_legacy(text):
        raise ValidationError(
            _("A legacy key must have 16 to 255 printable ASCII characters and must not begin with cxp_ or cxt_."),
            "invalid",
        )
    if ApiKey.objects.filter(digest=keys.digest(text)).exists():
        raise ValidationError(_("This API key is already registered."), "unique")


@transaction.atomic
def revoke(key: ApiKey, actor: Actor) -> bool:
    """Revoke the key with immediate effect. Return False if it was already revoked."""
    revoked = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now_ms())
    if revoked:
        recording.record(ApiKey, [key.pk], recording.CHANGED, actor)
    key.refresh_from_db()
    return bool(revoked)


@transaction.atomic
def rotate(key: ApiKey, actor: Actor, overlap: timedelta = timedelta(hours=24)) -> IssuedKey:
    """Issue a key with the same settings. The old key stays valid for the overlap, but not after its expiry.

    Raises:
        ValidationFailed: the old key is revoked or expired, so its owner must not get a new key.
    """
    old = ApiKey.objects.active().select_for_update().filter(pk=key.pk).first()
    if old is None:
        raise ValidationFailed(
            [
                FieldError(
                    None, AdminErrorCode.INVALID_KEY, _("This API key is revoked or expired. Issue a new key instead.")
                )
            ]
        )
    issued = issue(old.name, actor, old.scope_hospitals, **{name: getattr(old, name) for name in SETTINGS})
    end = timezone.now() + overlap
    ApiKey.objects.filter(pk=old.pk).update(expires_at=min(end, old.expires_at or end))
    recording.record(ApiKey, [old.pk], recording.CHANGED, actor)
    key.refresh_from_db()
    return issued


def _add(key: ApiKey, hospitals: Collection[Hospital], actor: Actor) -> ApiKey:
    ApiKey.objects.bulk_create([key])  # sends no signal: the history is written here, with the actor
    key.hospitals.set(hospitals)
    recording.record(ApiKey, [key.pk], recording.CREATED, actor)
    return key
