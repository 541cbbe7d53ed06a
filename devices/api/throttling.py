"""Limit the requests and the stored responses of an API key, and the failed keys of a network.

The headers are those of draft-ietf-httpapi-ratelimit-headers. ApiHeadersMiddleware puts
`request.rate_limit_headers` on every response.
"""

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request

from devices.access.client_ip import client_networks
from devices.api.exceptions import TooManyRequests
from devices.crypto import keys
from devices.models import ApiKey
from devices.ratelimit.limiter import Decision
from devices.ratelimit.stores import limiter
from devices.values import rates
from devices.values.rates import Limit, Rate

NETWORKS_OF_A_SITE = 10  # times the failures of one network that all networks of a /48 may have together
STORAGE = Rate(256 * 1024 * 1024, "d")  # bytes that a key may store of responses to an Idempotency-Key
ROW = 512  # bytes of a stored response besides its body


def consume(request: Request, key: ApiKey) -> None:
    """Use up a permit of the key.

    Raises:
        TooManyRequests: the key has none left in this window.
    """
    decision = _take(request, key, 1)
    request.took_last_permit = decision is not None and decision.remaining == 0  # type: ignore[attr-defined]


def consume_devices(request: Request, key: ApiKey, number: int) -> None:
    """Use up a permit for each posted device besides the first, which `admit` has counted.

    If fewer are left, the array uses them all up and is allowed: a rate below 10,000 must not forbid long arrays. For
    the same reason it is allowed if `admit` has used up the last permit.

    Raises:
        TooManyRequests: other requests of the key have used up the rest in the meantime.
    """
    if number > 1:
        _take(request, key, number - 1, is_allowed=request.took_last_permit)  # type: ignore[attr-defined]


def block_storage(key: ApiKey) -> None:
    """Refuse to store one more response, before the request writes anything.

    Raises:
        TooManyRequests: the key has stored as much as it may, until the day (UTC) ends.
    """
    if refusal := limiter().peek_exhausted(f"stored:{key.pk}", STORAGE):
        message = _("This API key has stored too many responses to an Idempotency-Key. Retry in %(wait)d seconds.")
        raise TooManyRequests(message % {"wait": refusal.ends_in}, refusal.ends_in)


def consume_storage(key: ApiKey, size: int) -> None:
    """Count the bytes of a response that was stored. Call it outside the transaction, which a rollback would undo."""
    limiter().acquire(f"stored:{key.pk}", STORAGE, ROW + size)


def block_brute_force(request: Request, sent: str) -> None:
    """Refuse a key of a form that can be guessed, from a network that has sent too many failed keys.

    Keys of the issued form cannot be guessed, so a hospital behind the same address goes on working with them.

    Raises:
        TooManyRequests: the key was not looked up.
    """
    if keys.is_legacy(sent):
        for name, rate in _failure_limits(request, sent):
            if refusal := limiter().peek_exhausted(name, rate):
                raise _too_many_failures(request, rate, refusal)


def record_failure(request: Request, sent: str) -> APIException:
    """Count a failed key, and return the error: 401, or 429 if there were too many.

    The two forms are counted apart: a tablet with an expired key must not stop a legacy key of the same network.
    """
    for name, rate in _failure_limits(request, sent):
        decision = limiter().acquire(name, rate)
        if not decision.admitted:
            return _too_many_failures(request, rate, decision)
    return AuthenticationFailed()


def _take(request: Request, key: ApiKey, permits: int, *, is_allowed: bool = False) -> Decision | None:
    """Use up permits of the key, and refuse the request if there are none; return None if the key is not limited."""
    rate = rates.parse_rate(key.rate or settings.API_RATE)
    if rate is None:
        return None
    decision = limiter().acquire(f"key:{key.pk}", rate, permits)
    _set_headers(request, "default", rate, decision)
    if not decision.admitted and not is_allowed:
        message = _("This API key has used up its %(rate)s. Ask again in %(wait)d seconds.")
        raise TooManyRequests(message % {"rate": rate, "wait": decision.ends_in}, decision.ends_in)
    return decision


def _failure_limits(request: Request, sent: str) -> list[Limit]:
    form = "legacy" if keys.is_legacy(sent) else "issued"
    rate = rates.parse_rate(settings.API_FAILED_RATE)
    return rates.by_network(f"failed:{form}", rate, client_networks(request), NETWORKS_OF_A_SITE)


def _too_many_failures(request: Request, rate: Rate, refusal: Decision) -> TooManyRequests:
    _set_headers(request, "failed-keys", rate, refusal)
    message = _("Too many keys that open nothing came from your address. Ask again in %(wait)d seconds.")
    return TooManyRequests(message % {"wait": refusal.ends_in}, refusal.ends_in)


def _set_headers(request: Request, policy: str, rate: Rate, decision: Decision) -> None:
    headers: dict[str, str] = request.rate_limit_headers  # type: ignore[attr-defined]
    headers["RateLimit-Policy"] = f'"{policy}";q={rate.number};w={rate.seconds}'
    headers["RateLimit"] = f'"{policy}";r={decision.remaining};t={decision.ends_in}'
