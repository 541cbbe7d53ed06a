"""The verbs of API keys: issue, take over, rotate, revoke. Each writes its history; none writes a key in clear."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from devices import history, keys
from devices.models import ApiKey, Hospital, now
from devices.origin import Origin


class KeyRefused(Exception):
    """The key cannot be issued, taken over or rotated; the message says why, and never tells the key."""


@dataclass(frozen=True)
class Issued:
    """A key and its text in clear: to be shown once."""

    key: ApiKey
    text: str = field(repr=False)


@transaction.atomic
def issue(
    name: str,
    origin: Origin,
    *,
    hospital: Hospital | None = None,
    read_only: bool = False,
    naming: str = ApiKey.Naming.SNAKE_CASE,
    expires_at: datetime | None = None,
    rate: str | None = None,
) -> Issued:
    """Issue a new key for the client application of this name. Its rate is as rates.py reads it, None: the default."""
    issued = keys.issue()
    key = ApiKey(
        name=name,
        prefix=issued.name,
        digest=keys.digest(issued.text),
        hospital=hospital,
        read_only=read_only,
        naming=naming,
        expires_at=expires_at,
        rate=rate,
    )
    return Issued(_add(key, origin), issued.text)


@transaction.atomic
def take_over(text: str, name: str, origin: Origin, **settings: Any) -> ApiKey:
    """Register a key that is already in the field. It is marked: it may be guessed, and should be rotated.

    Raises:
        KeyRefused: it has the form of a key issued here, is too short to be a secret, or is known already.
    """
    check_legacy(text)
    try:
        with transaction.atomic():
            return _add(ApiKey(name=name, digest=keys.digest(text), legacy=True, **settings), origin)
    except IntegrityError as error:
        raise KeyRefused(_("This key is known already.")) from error


def check_legacy(text: str) -> None:
    """Check that the key can be taken over.

    Raises:
        KeyRefused: it has the form of a key issued here, is too short to be a secret, or is known already.
    """
    if not keys.is_legacy(text):
        raise KeyRefused(
            _("A legacy key has %(low)d to %(high)d visible ASCII characters, and does not begin with cxp_.")
            % {"low": keys.MIN_LEGACY_LENGTH, "high": keys.MAX_LEGACY_LENGTH}
        )
    if ApiKey.objects.filter(digest=keys.digest(text)).exists():
        raise KeyRefused(_("This key is known already."))


@transaction.atomic
def revoke(key: ApiKey, origin: Origin) -> bool:
    """Close the registry to this key from the next request on; return whether it was open until now."""
    revoked = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now())
    if revoked:
        history.record(ApiKey, [key.pk], history.CHANGED, origin)
    key.refresh_from_db()
    return bool(revoked)


@transaction.atomic
def rotate(key: ApiKey, origin: Origin, overlap: timedelta = timedelta(hours=24)) -> Issued:
    """Issue a key of the same settings; the old one goes on for the overlap, and not beyond its own end.

    Raises:
        KeyRefused: the old one is revoked or expired: whoever holds it shall not get a new one.
    """
    old = ApiKey.objects.working().select_for_update().filter(pk=key.pk).first()
    if old is None:
        raise KeyRefused(_("This key is revoked or expired. Issue a new one instead."))
    issued = issue(
        old.name,
        origin,
        hospital=old.hospital,
        read_only=old.read_only,
        naming=old.naming,
        expires_at=old.expires_at,
        rate=old.rate,
    )
    end = timezone.now() + overlap
    ApiKey.objects.filter(pk=old.pk).update(expires_at=min(end, old.expires_at or end))
    history.record(ApiKey, [old.pk], history.CHANGED, origin)
    key.refresh_from_db()
    return issued


def _add(key: ApiKey, origin: Origin) -> ApiKey:
    ApiKey.objects.bulk_create([key])  # no signal: the history is written here, with its origin
    history.record(ApiKey, [key.pk], history.ADDED, origin)
    return key
