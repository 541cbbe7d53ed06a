"""Limit how often passwords and codes are checked, before any of them is.

A password costs about half a second of a core to check, so attempts are limited per network first, then over all
networks that are new here. All limits are counted by leases.py for all processes together; where no counter can count,
by each process alone.

- SIGN_IN_RATE limits each network: an IPv4 address, or an IPv6 /64. An IPv6 /48 may send four times as many.
- SIGN_IN_RATE_ALL limits the networks together from which no user signed in within 30 days. So an attack from many
  addresses keeps no user out of a network in use, and costs at most that many hashes. Only failed sign-ins whose
  password was hashed count: other requests are cheap, and would use up what new networks share. New networks of an IPv6
  /48 may send no more of these than one network.
- 20 failed sign-ins from a network within 15 minutes stop its sign-ins until these 15 minutes end. One user name is
  locked after five, so these are at least four names. A browser in which the user signed in before has a count of its
  own: see device_cookies.py.
"""

import math

from django.conf import settings
from django.http import HttpRequest

from devices import audit, device_cookies, rates
from devices.audit import What
from devices.counters import leases
from devices.origin import client_address, client_site, network_of
from devices.rates import Rate

FAILURES = Rate(20, "15min")  # of one network
WIDE = 4  # times as much for a /48, which may be a whole hospital or the customers of a mobile carrier

Limit = tuple[str, Rate]  # name and rate of what leases.py counts


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
    limits = _limits(request, "sign-in", rates.read(settings.SIGN_IN_RATE))
    raise_if_used_up(limits)
    if is_sign_in:
        raise_if_used_up(_failure_limits(request))
    for name, rate in limits:
        verdict = leases().take(name, rate, strict=True)
        if not verdict.admitted:
            raise TooManyAttempts(verdict.ends_in)


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
        if limits and not _is_known(network_of(client_address(request))):
            raise_if_used_up(limits)
            request.hash_limits = limits  # type: ignore[attr-defined]


def count_hash(request: HttpRequest) -> None:
    """Count a sign-in whose password was hashed and wrong; one that got 503 was not hashed."""
    for name, rate in getattr(request, "hash_limits", []):
        leases().take(name, rate, strict=True)


def count_failure(request: HttpRequest) -> None:
    """Count a wrong password against the network that it came from, or against the cookie of its user."""
    for name, rate in _failure_limits(request):
        leases().take(name, rate, strict=True)


def raise_if_used_up(limits: list[Limit]) -> None:
    """Refuse what this process knows to be used up; count nothing.

    A process learns it from an attempt of its own. So each worker process may let one more attempt through than the
    limit says, where attempts are counted after they have failed.

    Raises:
        TooManyAttempts: one of the limits is used up.
    """
    for name, rate in limits:
        if verdict := leases().refusal(name, rate):
            raise TooManyAttempts(verdict.ends_in)


def _failure_limits(request: HttpRequest) -> list[Limit]:
    if name := device_cookies.count_name(request):
        return [(name, device_cookies.FAILURES)]
    return _limits(request, "failed-sign-in", FAILURES)


def _limits_of_new_networks(request: HttpRequest) -> list[Limit]:
    site = client_site(request)
    read = [(f"sign-in:new:{site}", settings.SIGN_IN_RATE if site else rates.UNLIMITED)]
    read.append(("sign-in:new-networks", settings.SIGN_IN_RATE_ALL))
    return [(name, rate) for name, text in read if (rate := rates.read(text))]


def _limits(request: HttpRequest, what: str, rate: Rate | None) -> list[Limit]:
    address = client_address(request)
    if rate is None:
        return []
    limits = [(f"{what}:{network_of(address)}", rate)]
    if site := client_site(request):
        limits.append((f"{what}:{site}", Rate(rate.number * WIDE, rate.unit)))
    return limits


def _is_known(network: str | None) -> bool:
    return network is not None and network in audit.known_networks(What.SIGNED_IN)
