"""The operations on API keys: issue, take over, rotate, revoke. Each writes its history; none stores a key in clear."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from devices.access.actor import Actor
from devices.crypto import keys
from devices.history import recording
from devices.models import ApiKey, now_ms
from devices.values.errors import FieldError, ValidationFailed

SETTINGS = ("hospital", "read_only", "naming", "rate", "expires_at")  # fields that a new key may be given


@dataclass(frozen=True)
class IssuedKey:
    """A key and its text in clear: to be shown once."""

    key: ApiKey
    text: str = field(repr=False)


@transaction.atomic
def issue(name: str, actor: Actor, **settings: Any) -> IssuedKey:
    """Issue a new key with these SETTINGS for the client application of this name."""
    text = keys.generate()
    key = ApiKey(name=name, prefix=keys.prefix(text), digest=keys.digest(text), **settings)
    return IssuedKey(_add(key, actor), text)


@transaction.atomic
def import_key(text: str, name: str, actor: Actor, **settings: Any) -> ApiKey:
    """Register a key that a client has already. It is marked as legacy: it can be guessed, and should be rotated.

    Raises:
        ValidationError: as check_legacy.
        Refused: the same key was taken over since the check.
    """
    check_legacy(text)
    try:
        with transaction.atomic():
            return _add(ApiKey(name=name, digest=keys.digest(text), legacy=True, **settings), actor)
    except IntegrityError as error:
        raise ValidationFailed([FieldError("value", "unique", _("This key is known already."))]) from error


def check_legacy(text: str) -> None:
    """Check that the key can be taken over. No message contains the key.

    Raises:
        ValidationError: it has the form of a key issued here, is too short to be a secret, or is registered already.
    """
    if not keys.is_legacy(text):
        raise ValidationError(
            _("A legacy key has 16 to 255 visible ASCII characters, and does not begin with cxp_."), "invalid"
        )
    if ApiKey.objects.filter(digest=keys.digest(text)).exists():
        raise ValidationError(_("This key is known already."), "unique")


@transaction.atomic
def revoke(key: ApiKey, actor: Actor) -> bool:
    """Revoke the key from the next request on; return False if it was revoked before."""
    revoked = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now_ms())
    if revoked:
        recording.record(ApiKey, [key.pk], recording.CHANGED, actor)
    key.refresh_from_db()
    return bool(revoked)


@transaction.atomic
def rotate(key: ApiKey, actor: Actor, overlap: timedelta = timedelta(hours=24)) -> IssuedKey:
    """Issue a key with the same settings. The old key stays valid for the overlap, but not beyond its own end.

    Raises:
        Refused: the old key is revoked or expired, so its owner must not get a new one.
    """
    old = ApiKey.objects.active().select_for_update().filter(pk=key.pk).first()
    if old is None:
        raise ValidationFailed(
            [FieldError(None, "invalid", _("This key is revoked or expired. Issue a new one instead."))]
        )
    issued = issue(old.name, actor, **{name: getattr(old, name) for name in SETTINGS})
    end = timezone.now() + overlap
    ApiKey.objects.filter(pk=old.pk).update(expires_at=min(end, old.expires_at or end))
    recording.record(ApiKey, [old.pk], recording.CHANGED, actor)
    key.refresh_from_db()
    return issued


def _add(key: ApiKey, actor: Actor) -> ApiKey:
    ApiKey.objects.bulk_create([key])  # no signal: the history is written here, with its origin
    recording.record(ApiKey, [key.pk], recording.CREATED, actor)
    return key
