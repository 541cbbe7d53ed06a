"""Authenticate a request by the API key in its `x-api-key` header."""

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

from devices.access.client_ip import client_ip
from devices.access.current import current_request
from devices.api import deprecation, throttling
from devices.api.exceptions import AddressNotAllowed
from devices.crypto import keys
from devices.db.compiled import CompiledQuery, Parameter
from devices.db.transactions import may_be_lost
from devices.models import ApiKey, Hospital
from devices.values import networks

HEADER = "x-api-key"
LAST_USED_EVERY = timedelta(minutes=1)

logger = logging.getLogger(__name__)
_paused_until = 0.0  # time.monotonic(): before it, no last_used_at is written


def has_legacy_key(found: tuple[AnonymousUser, ApiKey] | None) -> bool:
    return found is not None and found[1].legacy


class ApiKeyAuthentication(BaseAuthentication):
    """Set `request.auth` to the key. An unknown, revoked or expired key returns the same error as a missing key.

    Raises:
        AuthenticationFailed: the key is unknown, revoked or expired.
        AddressNotAllowed: the client's address is in no network of the key. This is checked before the rate limit, so
            a thief outside these networks cannot use up the permits of the key.
        TooManyRequests: the key is over its rate limit, or too many invalid keys came from this network.
    """

    @deprecation.deprecated(deprecation.LEGACY_KEYS, when=has_legacy_key)
    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey] | None:
        sent = request.headers.get(HEADER)
        if sent is None:
            return None
        throttling.block_brute_force(request, sent)
        key = find_active_key(keys.digest(sent)) if keys.is_well_formed(sent) else None
        if key is None:
            raise throttling.record_failure(request, sent)
        check_network(request, key)
        throttling.consume(request, key)
        touch_last_used(key)
        return AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:
        return HEADER


# The columns of the key and of its hospitals that a request needs, in the order of the model, in which from_db takes
# their values. Django loads other columns when they are used.
KEY = [
    *("id", "all_hospitals", "sandbox", "read_only", "naming", "rate", "page_size", "unknown_holder"),
    *("allowed_networks", "legacy", "last_used_at"),
]
HOSPITAL = ["id", "name"]


@cache
def _active_keys() -> CompiledQuery:
    working = ApiKey.objects.active(Parameter("at", DateTimeField())).filter(digest=Parameter("digest"))
    return CompiledQuery(working.values_list(*KEY, *(f"hospitals__{column}" for column in HOSPITAL)))


def find_active_key(digest: str) -> ApiKey | None:
    """Return the active key with this digest, with its hospitals, or None. One query finds a row for each hospital."""
    rows = _active_keys().fetch(at=timezone.now(), digest=digest)
    if not rows:
        return None
    key = ApiKey.from_db(DEFAULT_DB_ALIAS, KEY, rows[0][: len(KEY)])
    hospitals = sorted(row[len(KEY) :] for row in rows if row[len(KEY)])
    key.scope_hospitals = tuple(Hospital.from_db(DEFAULT_DB_ALIAS, HOSPITAL, row) for row in hospitals)
    return key


def key_of(request: Request) -> ApiKey:
    """Return the key of the request.

    Raises:
        NotAuthenticated: the request has no key. Permissions normally prevent this.
    """
    if not isinstance(request.auth, ApiKey):
        raise NotAuthenticated
    return request.auth


def refresh_key(request: Request) -> ApiKey:
    """Load the key again, for a request that has waited since its authentication.

    Raises:
        AuthenticationFailed: the key was revoked or has expired in the meantime.
        AddressNotAllowed: the networks of the key no longer contain the client's address.
    """
    key = find_active_key(keys.digest(request.headers[HEADER]))
    if key is None:
        raise AuthenticationFailed
    check_network(request, key)
    return key


def check_network(request: Request, key: ApiKey) -> None:
    """Check that the client's address is in a network of the key. A key without networks works from every address.

    Raises:
        AddressNotAllowed: it is in none, or the client has no address. The audit log records the key and the address.
    """
    if key.allowed_networks and not networks.contains(key.allowed_networks, client_ip(request)):
        if (current := current_request.get()) is not None:
            current.denied_key = key  # type: ignore[attr-defined]  # for the audit log: no view runs with this key
        raise AddressNotAllowed


def touch_last_used(key: ApiKey) -> None:
    """Write when and from which IP address the key was used, at most once a minute. An error does not fail the request.

    While one write runs, and for a minute after a failed one, this process starts no other. So a database that accepts
    no writes does not delay other requests.
    """
    global _paused_until
    at, tick = timezone.now(), time.monotonic()
    if tick < _paused_until or (key.last_used_at and key.last_used_at > at - LAST_USED_EVERY):
        return
    _paused_until = tick + LAST_USED_EVERY.total_seconds()
    request = current_request.get()
    address = client_ip(request) if request else None
    stale = Q(last_used_at=None) | Q(last_used_at__lte=at - LAST_USED_EVERY)
    try:
        with may_be_lost():
            ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=at, last_used_ip_address=address)
        _paused_until = 0.0
    except DatabaseError:
        logger.warning("last_used_at of API key %s could not be written.", key.pk, exc_info=True)
