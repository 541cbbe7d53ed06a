"""How often: what a key may ask, and how many keys that are none an address may send.

The headers are those of draft-ietf-httpapi-ratelimit-headers. They stand in `request.rate_limit`, from where
ApiMiddleware puts them on the answer, whatever it is.
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
        told = {"rate": rate, "wait": verdict.ends_in}
        message = _("This API key has used up its %(rate)s. Ask again in %(wait)d seconds.") % told
        raise TooManyRequests(message, verdict.ends_in)


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


def _too_many(request: Request, rate: Rate, verdict: Verdict) -> TooManyRequests:
    _tell(request, "failed-keys", rate, verdict)
    message = _("Too many keys that open nothing came from your address. Ask again in %(wait)d seconds.")
    return TooManyRequests(message % {"wait": verdict.ends_in}, verdict.ends_in)


def _tell(request: Request, policy: str, rate: Rate, verdict: Verdict) -> None:
    request._request.rate_limit = {  # type: ignore[attr-defined]
        "RateLimit-Policy": f'"{policy}";q={rate.number};w={rate.seconds}',
        "RateLimit": f'"{policy}";r={verdict.remaining};t={verdict.ends_in}',
    }


def _limits_of_failures(request: Request, sent: str) -> Iterator[tuple[str, Rate]]:
    """Give the names that failed keys are counted under, with their rates: the client's network, then its site."""
    rate = rates.read(settings.API_FAILED_RATE)
    if rate is None:
        return
    form = "legacy" if keys.is_legacy(sent) else "issued"
    yield f"failed:{form}:{client_network(request._request)}", rate
    if site := client_site(request._request):
        yield f"failed:{form}:{site}", replace(rate, number=rate.number * NETWORKS_OF_A_SITE)
