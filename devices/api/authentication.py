"""Who asks: the API key in the `x-api-key` header."""

import logging
import time
from datetime import timedelta
from functools import cache

from django.contrib.auth.models import AnonymousUser
from django.db import DEFAULT_DB_ALIAS, DatabaseError
from django.db.models import DateTimeField, Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.request import Request

from devices import keys
from devices.api import limits
from devices.models import ApiKey, Hospital
from devices.prepared import Parameter, Prepared

HEADER = "x-api-key"
LAST_USED_EVERY = timedelta(minutes=1)

logger = logging.getLogger(__name__)
_paused_until = 0.0  # of time.monotonic(): no use of any key is noted before


class ApiKeyAuthentication(BaseAuthentication):
    """Set `request.auth` to the key. One that is unknown, revoked or expired is answered like none at all.

    Raises:
        AuthenticationFailed: the key opens nothing.
        TooManyRequests: it has been used too often, or too many that open nothing came from this address.
    """

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey] | None:
        sent = request.headers.get(HEADER)
        if sent is None:
            return None
        limits.refuse_guesses(request, sent)
        key = working_key(keys.digest(sent)) if keys.is_well_formed(sent) else None
        if key is None:
            raise limits.failed(request, sent)
        limits.admit(request, key)
        note_use(key)
        return AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:
        return HEADER


# The columns that a request needs of its key and of the key's hospital. Django loads others when they are used.
KEY = ["id", "hospital_id", "read_only", "naming", "rate", "last_used_at"]
HOSPITAL = ["name"]


@cache
def _working_keys() -> Prepared:
    working = ApiKey.objects.working(Parameter("at", DateTimeField())).filter(digest=Parameter("digest"))
    return Prepared(working.values_list(*KEY, *(f"hospital__{column}" for column in HOSPITAL)))


def working_key(digest: str) -> ApiKey | None:
    """Return the key with this digest, and its hospital, if it opens the registry now."""
    rows = _working_keys().rows(at=timezone.now(), digest=digest)
    if not rows:
        return None
    [row] = rows
    key = ApiKey.from_db(DEFAULT_DB_ALIAS, KEY, row[: len(KEY)])
    if key.hospital_id:
        key.hospital = Hospital.from_db(DEFAULT_DB_ALIAS, ["id", *HOSPITAL], (key.hospital_id, *row[len(KEY) :]))
    return key


def key_of(request: Request) -> ApiKey:
    """Return the key that the request came with.

    Raises:
        NotAuthenticated: there is none, and the view should not have been reached.
    """
    if not isinstance(request.auth, ApiKey):
        raise NotAuthenticated
    return request.auth


def look_up_again(request: Request) -> ApiKey:
    """Return the key as it is now, for a request that has waited since it was authenticated.

    Raises:
        AuthenticationFailed: the key has been revoked or has expired meanwhile.
    """
    key = working_key(keys.digest(request.headers[HEADER]))
    if key is None:
        raise AuthenticationFailed
    return key


def note_use(key: ApiKey) -> None:
    """Note that the key was used, at most once a minute, and without ever failing the request.

    While one attempt runs, and for a minute after one that failed, this process makes no other: a database that takes
    no writes delays no other request.
    """
    global _paused_until
    at, tick = timezone.now(), time.monotonic()
    if tick < _paused_until or (key.last_used_at and key.last_used_at > at - LAST_USED_EVERY):
        return
    _paused_until = tick + LAST_USED_EVERY.total_seconds()
    stale = Q(last_used_at=None) | Q(last_used_at__lte=at - LAST_USED_EVERY)
    try:
        ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=at)
        _paused_until = 0.0
    except DatabaseError:
        logger.warning("The use of API key %s could not be written down.", key.pk, exc_info=True)
