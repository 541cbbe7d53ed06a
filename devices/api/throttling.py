"""Limit the requests and the stored responses of an API key, and the invalid keys from a network.

The headers follow draft-ietf-httpapi-ratelimit-headers. ApiHeadersMiddleware adds `request.rate_limit_headers` to the
response.
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
from devices.values.error_codes import ErrorCode
from devices.values.rates import Limit, Rate

NETWORKS_OF_A_SITE = 10  # all networks of an IPv6 /48 together have 10 times the limit of one network
STORAGE = Rate(256 * 1024 * 1024, "d")  # bytes of stored responses to requests with an Idempotency-Key, for one key
ROW = 512  # bytes of a stored response in addition to its body


def consume(request: Request, key: ApiKey) -> None:
    """Consume one permit of the key.

    Raises:
        TooManyRequests: the key has no permit left in this window.
    """
    decision = _take(request, key, 1)
    request.took_last_permit = decision is not None and decision.remaining == 0  # type: ignore[attr-defined]


def consume_devices(request: Request, key: ApiKey, number: int) -> None:
    """Consume a permit for each posted device except the first, which `consume` has counted.

    If fewer permits are left, the array consumes all of them and is allowed: a rate below 10,000 must not forbid long
    arrays. For the same reason it is allowed if `consume` took the last permit.

    Raises:
        TooManyRequests: other requests of the key have consumed the remaining permits in the meantime.
    """
    if number > 1:
        _take(request, key, number - 1, is_allowed=request.took_last_permit)  # type: ignore[attr-defined]


def block_storage(key: ApiKey) -> None:
    """Check that the key can store another response. Call it before the request writes anything.

    Raises:
        TooManyRequests: the key has used up its storage of this day (UTC).
    """
    if exceeded := limiter().peek_exhausted(f"stored:{key.pk}", STORAGE):
        message = _(
            "This API key has stored too many responses today. Omit the Idempotency-Key, or retry in %(wait)d seconds."
        )
        raise TooManyRequests(
            message % {"wait": exceeded.ends_in}, exceeded.ends_in, ErrorCode.TOO_MANY_STORED_RESPONSES
        )


def consume_storage(key: ApiKey, size: int) -> None:
    """Count the bytes of a stored response. Call it outside the transaction: a rollback would undo the count."""
    limiter().acquire(f"stored:{key.pk}", STORAGE, ROW + size)


def block_brute_force(request: Request, sent: str) -> None:
    """Block legacy keys, which can be guessed, from a network that has sent too many invalid ones.

    Keys that the registry issued cannot be guessed. They continue to work from the same IP address.

    Raises:
        TooManyRequests: the network is over the limit; the key was not looked up.
    """
    if keys.is_legacy(sent):
        for name, rate in _failure_limits(request, sent):
            if exceeded := limiter().peek_exhausted(name, rate):
                raise _too_many_failures(request, rate, exceeded)


def record_failure(request: Request, sent: str) -> APIException:
    """Count an invalid key, and return the exception: 401, or 429 if there were too many.

    Issued and legacy keys are counted separately, so that a tablet with an expired key does not block the legacy keys
    of the same network.
    """
    for name, rate in _failure_limits(request, sent):
        decision = limiter().acquire(name, rate)
        if not decision.admitted:
            return _too_many_failures(request, rate, decision)
    return AuthenticationFailed()


def describe(request: Request) -> dict[str, int] | None:
    """Return the rate limit of the key and what remains of it, as the RateLimit headers say. None: the key has none."""
    taken: tuple[Rate, Decision] | None = getattr(request, "rate_decision", None)
    if taken is None:
        return None
    rate, decision = taken
    return {
        "limit": rate.number,
        "window_seconds": rate.seconds,
        "remaining": decision.remaining,
        "reset_seconds": decision.ends_in,
    }


def _take(request: Request, key: ApiKey, permits: int, *, is_allowed: bool = False) -> Decision | None:
    """Consume permits of the key, and raise TooManyRequests if there are none. Return None if the key has no limit."""
    rate = rates.parse_rate(key.rate or settings.API_RATE)
    if rate is None:
        return None
    decision = limiter().acquire(f"key:{key.pk}", rate, permits)
    _set_headers(request, "default", rate, decision)
    request.rate_decision = rate, decision  # type: ignore[attr-defined]  # for `describe`
    if not decision.admitted and not is_allowed:
        message = _("Rate limit exceeded: %(rate)s for this API key. Retry in %(wait)d seconds.")
        raise TooManyRequests(message % {"rate": rate, "wait": decision.ends_in}, decision.ends_in)
    return decision


def _failure_limits(request: Request, sent: str) -> list[Limit]:
    form = "legacy" if keys.is_legacy(sent) else "issued"
    rate = rates.parse_rate(settings.API_FAILED_RATE)
    return rates.by_network(f"failed:{form}", rate, client_networks(request), NETWORKS_OF_A_SITE)


def _too_many_failures(request: Request, rate: Rate, exceeded: Decision) -> TooManyRequests:
    _set_headers(request, "failed-keys", rate, exceeded)
    message = _(
        "Too many requests with an invalid API key from your IP address. Check the key, and retry in %(wait)d seconds."
    )
    return TooManyRequests(message % {"wait": exceeded.ends_in}, exceeded.ends_in, ErrorCode.TOO_MANY_FAILED_KEYS)


def _set_headers(request: Request, policy: str, rate: Rate, decision: Decision) -> None:
    headers: dict[str, str] = request.rate_limit_headers  # type: ignore[attr-defined]
    headers["RateLimit-Policy"] = f'"{policy}";q={rate.number};w={rate.seconds}'
    headers["RateLimit"] = f'"{policy}";r={decision.remaining};t={decision.ends_in}'
