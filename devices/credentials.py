"""The operations on API keys: issue, take over, rotate, revoke. Each writes its history; none stores a key in clear."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from devices import history, keys
from devices.models import ApiKey, now
from devices.origin import Origin
from devices.problems import Problem, Refused

SETTINGS = ("hospital", "read_only", "naming", "rate", "expires_at")  # fields that a new key may be given


class KeyRefused(Refused):
    """The key cannot be issued, taken over or rotated. The message says why, and never contains the key."""

    def __init__(self, message: str) -> None:
        super().__init__([Problem(None, "invalid", message)])
        self.args = (message,)


@dataclass(frozen=True)
class Issued:
    """A key and its text in clear: to be shown once."""

    key: ApiKey
    text: str = field(repr=False)


@transaction.atomic
def issue(name: str, origin: Origin, **settings: Any) -> Issued:
    """Issue a new key with these SETTINGS for the client application of this name."""
    issued = keys.generate()
    key = ApiKey(name=name, prefix=issued.prefix, digest=keys.digest(issued.text), **settings)
    return Issued(_add(key, origin), issued.text)


@transaction.atomic
def take_over(text: str, name: str, origin: Origin, **settings: Any) -> ApiKey:
    """Register a key that a client has already. It is marked as legacy: it can be guessed, and should be rotated.

    Raises:
        KeyRefused: as check_legacy.
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
        KeyRefused: it has the form of a key issued here, is too short to be a secret, or is registered already.
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
    """Revoke the key from the next request on; return False if it was revoked before."""
    revoked = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now())
    if revoked:
        history.record(ApiKey, [key.pk], history.CHANGED, origin)
    key.refresh_from_db()
    return bool(revoked)


@transaction.atomic
def rotate(key: ApiKey, origin: Origin, overlap: timedelta = timedelta(hours=24)) -> Issued:
    """Issue a key with the same settings. The old key stays valid for the overlap, but not beyond its own end.

    Raises:
        KeyRefused: the old key is revoked or expired, so its owner must not get a new one.
    """
    old = ApiKey.objects.working().select_for_update().filter(pk=key.pk).first()
    if old is None:
        raise KeyRefused(_("This key is revoked or expired. Issue a new one instead."))
    issued = issue(old.name, origin, **{name: getattr(old, name) for name in SETTINGS})
    end = timezone.now() + overlap
    ApiKey.objects.filter(pk=old.pk).update(expires_at=min(end, old.expires_at or end))
    history.record(ApiKey, [old.pk], history.CHANGED, origin)
    key.refresh_from_db()
    return issued


def _add(key: ApiKey, origin: Origin) -> ApiKey:
    ApiKey.objects.bulk_create([key])  # no signal: the history is written here, with its origin
    history.record(ApiKey, [key.pk], history.ADDED, origin)
    return key
