"""How often: what a key may ask, and how many keys that are none an address may send.

The headers are those of draft-ietf-httpapi-ratelimit-headers. They stand in `request.rate_limit`, from where
ApiHeadersMiddleware puts them on the response.
"""

from collections.abc import Iterator
from dataclasses import replace

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request

from devices import keys, rates
from devices.api.errors import TooManyRequests
from devices.counters import leases
from devices.leases import Verdict
from devices.models import ApiKey
from devices.origin import client_network, client_site
from devices.rates import Rate

NETWORKS_OF_A_SITE = 10  # times the failures of one network that all networks of a /48 may have together
STORAGE = Rate(256 * 1024 * 1024, "d")  # bytes that a key may store of responses to an Idempotency-Key
ROW = 512  # bytes of a stored response besides its body


def admit(request: Request, key: ApiKey) -> None:
    """Let a request with this key pass.

    Raises:
        TooManyRequests: the key has used up what it may ask in this window.
    """
    rate = rates.read(key.rate or settings.API_RATE)
    if rate is None:
        return
    verdict = leases().take(f"key:{key.pk}", rate)
    _tell(request, "default", rate, verdict)
    if not verdict.admitted:
        raise _used_up(rate, verdict)
    request._request.took_last_permit = verdict.remaining == 0  # type: ignore[attr-defined]


def admit_devices(request: Request, key: ApiKey, number: int) -> None:
    """Use up a permit for each posted device besides the first, which `admit` has counted.

    If fewer are left, the array uses them all up and is allowed: a rate below 10,000 must not forbid long arrays. For
    the same reason it is allowed if `admit` has used up the last permit.

    Raises:
        TooManyRequests: other requests of the key have used up the rest in the meantime.
    """
    rate = rates.read(key.rate or settings.API_RATE)
    if rate is None or number < 2:
        return
    verdict = leases().take(f"key:{key.pk}", rate, number - 1)
    _tell(request, "default", rate, verdict)
    if not verdict.admitted and not request._request.took_last_permit:  # type: ignore[attr-defined]
        raise _used_up(rate, verdict)


def refuse_storage(key: ApiKey) -> None:
    """Refuse to store one more response, before the request writes anything.

    Raises:
        TooManyRequests: the key has stored as much as it may, until the day (UTC) ends.
    """
    if verdict := leases().refusal(_storage_of(key), STORAGE):
        message = _("This API key has stored too many responses to an Idempotency-Key. Retry in %(wait)d seconds.")
        raise TooManyRequests(message % {"wait": verdict.ends_in}, verdict.ends_in)


def use_storage(key: ApiKey, size: int) -> None:
    """Count the bytes of a response that was stored. Call it outside the transaction, which a rollback would undo."""
    leases().take(_storage_of(key), STORAGE, ROW + size)


def refuse_guesses(request: Request, sent: str) -> None:
    """Refuse, from an address that has sent too many keys that are none, a key of a form that can be guessed.

    Keys issued here cannot be, so a hospital behind the same address goes on working with them.

    Raises:
        TooManyRequests: without having looked whether the key is right.
    """
    if keys.is_legacy(sent):
        for name, rate in _limits_of_failures(request, sent):
            if verdict := leases().refusal(name, rate):
                raise _too_many(request, rate, verdict)


def failed(request: Request, sent: str) -> APIException:
    """Count a key that opens nothing, and return what to answer: 401, or 429 if there were too many.

    Keys of the issued form are counted by themselves: a tablet that goes on with a key that has expired keeps no
    client with a legacy key from behind the same address.
    """
    for name, rate in _limits_of_failures(request, sent):
        verdict = leases().take(name, rate)
        if not verdict.admitted:
            return _too_many(request, rate, verdict)
    return AuthenticationFailed()


def _used_up(rate: Rate, verdict: Verdict) -> TooManyRequests:
    told = {"rate": rate, "wait": verdict.ends_in}
    message = _("This API key has used up its %(rate)s. Ask again in %(wait)d seconds.") % told
    return TooManyRequests(message, verdict.ends_in)


def _too_many(request: Request, rate: Rate, verdict: Verdict) -> TooManyRequests:
    _tell(request, "failed-keys", rate, verdict)
    message = _("Too many keys that open nothing came from your address. Ask again in %(wait)d seconds.")
    return TooManyRequests(message % {"wait": verdict.ends_in}, verdict.ends_in)


def _tell(request: Request, policy: str, rate: Rate, verdict: Verdict) -> None:
    request._request.rate_limit = {  # type: ignore[attr-defined]
        "RateLimit-Policy": f'"{policy}";q={rate.number};w={rate.seconds}',
        "RateLimit": f'"{policy}";r={verdict.remaining};t={verdict.ends_in}',
    }


def _storage_of(key: ApiKey) -> str:
    return f"stored:{key.pk}"


def _limits_of_failures(request: Request, sent: str) -> Iterator[tuple[str, Rate]]:
    """Give the names that failed keys are counted under, with their rates: the client's network, then its site."""
    rate = rates.read(settings.API_FAILED_RATE)
    if rate is None:
        return
    form = "legacy" if keys.is_legacy(sent) else "issued"
    yield f"failed:{form}:{client_network(request._request)}", rate
    if site := client_site(request._request):
        yield f"failed:{form}:{site}", replace(rate, number=rate.number * NETWORKS_OF_A_SITE)
