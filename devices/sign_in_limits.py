"""Limit how often passwords and codes are checked, before any of them is (docs/security.md).

A password costs about half a second of a core to check.

- SIGN_IN_RATE limits each network: an IPv4 address or an IPv6 /64; an IPv6 /48 may send four times as many.
- SIGN_IN_RATE_ALL limits failed sign-ins whose password was hashed, of all networks together from which no user signed
  in within 30 days. So an attack from many addresses keeps no user out of a network in use.
- 20 failed sign-ins of a network within 15 minutes stop its sign-ins. A browser in which the user signed in before has
  a count of its own: see device_cookies.py.

If the counter fails, each process counts alone.
"""

import math
from collections.abc import Iterable

from django.conf import settings
from django.http import HttpRequest

from devices import audit, device_cookies, rates
from devices.audit import What
from devices.counters import leases
from devices.origin import client_network, client_networks
from devices.rates import Rate

FAILURES = Rate(20, "15min")  # of one network
WIDE = 4  # times as much for a /48, which may be a whole hospital or the customers of a mobile carrier

Limit = rates.Limit


class TooManyAttempts(Exception):
    """Too many attempts were made. Retry in `seconds`."""

    def __init__(self, seconds: int) -> None:
        self.seconds, self.minutes = seconds, math.ceil(seconds / 60)
        super().__init__(f"Retry in {seconds} seconds.")


def check(request: HttpRequest, *, is_sign_in: bool) -> None:
    """Count a request that checks a password or a code. A network that is over its limit is refused without a query.

    Raises:
        TooManyAttempts: nothing was checked.
    """
    limits = rates.by_network("sign-in", rates.read(settings.SIGN_IN_RATE), client_networks(request), WIDE)
    raise_if_used_up(limits)
    if is_sign_in:
        raise_if_used_up(_failure_limits(request))
    for limit in limits:
        decision = leases().take(*limit, strict=True)
        if not decision.admitted:
            raise TooManyAttempts(decision.ends_in)


class NewNetworkLimit:
    """An authentication backend that limits the hashes of new networks; it signs nobody in.

    It stands between axes, which refuses locked users, and the backend that hashes. The form is valid then, too.
    """

    def authenticate(self, request: HttpRequest, username: str, password: str) -> None:
        """Refuse the sign-in if its network is new here and the limit is exceeded; `count_hash` counts it.

        Raises:
            TooManyAttempts: the password was not checked.
        """
        limits = _limits_of_new_networks(request)
        if limits and not _is_known(client_network(request)):
            raise_if_used_up(limits)
            request.hash_limits = limits  # type: ignore[attr-defined]


def count(limits: Iterable[Limit]) -> None:
    """Count an attempt that has failed."""
    for limit in limits:
        leases().take(*limit, strict=True)


def count_hash(request: HttpRequest) -> None:
    """Count a sign-in whose password was hashed and wrong; one that got 503 was not hashed."""
    count(getattr(request, "hash_limits", []))


def count_failure(request: HttpRequest) -> None:
    """Count a wrong password against the network that it came from, or against the cookie of its user."""
    count(_failure_limits(request))


def raise_if_used_up(limits: Iterable[Limit]) -> None:
    """Refuse what this process knows to be used up; count nothing.

    A process learns it from an attempt of its own: each may let one more attempt through than the limit says.

    Raises:
        TooManyAttempts: one of the limits is used up.
    """
    for limit in limits:
        if refusal := leases().refusal(*limit):
            raise TooManyAttempts(refusal.ends_in)


def _failure_limits(request: HttpRequest) -> list[Limit]:
    if name := device_cookies.count_name(request):
        return [(name, device_cookies.FAILURES)]
    return rates.by_network("failed-sign-in", FAILURES, client_networks(request), WIDE)


def _limits_of_new_networks(request: HttpRequest) -> list[Limit]:
    sites = [(f"sign-in:new:{site}", settings.SIGN_IN_RATE) for site in client_networks(request)[1:]]
    named = [*sites, ("sign-in:new-networks", settings.SIGN_IN_RATE_ALL)]
    return [(name, rate) for name, text in named if (rate := rates.read(text))]


def _is_known(network: str | None) -> bool:
    return network is not None and network in audit.known_networks(What.SIGNED_IN)
