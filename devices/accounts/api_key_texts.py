"""Describe API keys in words, in the current language. The admin and the commands use the same words."""

from datetime import timedelta

from django.db import models
from django.utils import timezone
from django.utils.timesince import timeuntil
from django.utils.translation import gettext as _

from devices.crypto import keys
from devices.models import ApiKey

EXPIRES_SOON = timedelta(days=30)


class State(models.TextChoices):
    """Whether a key works. A revoked key that has also expired is revoked."""

    ACTIVE = "active"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    REVOKED = "revoked"


def state_of(key: ApiKey) -> State:
    """Return the state of the key now."""
    left = key.expires_at - timezone.now() if key.expires_at else None
    if key.revoked_at:
        return State.REVOKED
    if left is None:
        return State.ACTIVE
    return State.EXPIRED if left <= timedelta(0) else State.EXPIRING if left < EXPIRES_SOON else State.ACTIVE


def describe_state(key: ApiKey) -> str:
    """Return the state in words, such as “expires in 23 hours”."""
    state = state_of(key)
    if state == State.EXPIRING and key.expires_at:
        left: str = timeuntil(key.expires_at, depth=1)
        return _("expires in %(time)s") % {"time": left.replace("\xa0", " ")}
    return {State.ACTIVE: _("active"), State.EXPIRED: _("expired"), State.REVOKED: _("revoked")}[state]


def describe_token(key: ApiKey) -> str:
    """Return the part of the key that identifies it. An imported key has none."""
    return f"{keys.SANDBOX if key.sandbox else keys.LIVE}{key.prefix}…" if key.prefix else _("legacy key")


def describe_scope(key: ApiKey) -> str:
    """Return the names of the hospitals, or “All hospitals”."""
    if key.all_hospitals:
        return _("All hospitals")
    return ", ".join(sorted(hospital.name for hospital in key.scope_hospitals)) or _("No hospital")


def describe_access(key: ApiKey) -> str:
    """Return what the key allows."""
    return _("Read-only") if key.read_only else _("Read and write")
