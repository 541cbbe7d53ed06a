"""Limit how often passwords and codes are checked, before any of them is.

A password costs about half a second of a core to check, so attempts are limited per network first, then over all
networks that are new here. All limits are counted by leases.py for all processes together; where no counter can count,
by each process alone.

- SIGN_IN_RATE limits each network: an IPv4 address, or an IPv6 /64. An IPv6 /48 may send four times as many.
- SIGN_IN_RATE_ALL limits the networks together from which no user signed in within 30 days. So an attack from many
  addresses keeps no user out of a network in use, and costs at most that many hashes.
- 20 failed sign-ins from a network within 15 minutes stop its sign-ins until these 15 minutes end. One user name is
  locked after five, so these are at least four names.
"""

import ipaddress
from datetime import timedelta

from axes.models import AccessLog
from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from devices import rates
from devices.counters import leases
from devices.origin import client_address, network_of
from devices.rates import Rate

FAILURES = Rate(20, "15min")  # of one network
WIDE = 4  # times as much for a /48, which may be a whole hospital or the customers of a mobile carrier
KNOWN_FOR = timedelta(days=30)

Limit = tuple[str, Rate]  # name and rate of what leases.py counts


class TooManyAttempts(Exception):
    """Too many attempts were made. Retry in `seconds`."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"Retry in {seconds} seconds.")


def check(request: HttpRequest, *, is_sign_in: bool) -> None:
    """Count a request that checks a password or a code, and refuse it if a limit is exceeded.

    1. A network that is over its limit is refused without a query.
    2. A network that is new here is refused without a write if the limit of all new ones is exceeded.
    3. Else the request is counted.

    Raises:
        TooManyAttempts: nothing was checked.
    """
    limits = _limits(request, "sign-in", rates.read(settings.SIGN_IN_RATE))
    raise_if_used_up(limits + (_limits(request, "failed-sign-in", FAILURES) if is_sign_in else []))
    together = rates.read(settings.SIGN_IN_RATE_ALL)
    if together and not _is_known(network_of(client_address(request))):
        limits.append(("sign-in:new-networks", together))
        raise_if_used_up(limits)
    for name, rate in limits:
        verdict = leases().take(name, rate, strict=True)
        if not verdict.admitted:
            raise TooManyAttempts(verdict.ends_in)


def count_failure(request: HttpRequest) -> None:
    """Count a wrong password against the network that it came from."""
    for name, rate in _limits(request, "failed-sign-in", FAILURES):
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


def _limits(request: HttpRequest, what: str, rate: Rate | None) -> list[Limit]:
    address = client_address(request)
    if rate is None:
        return []
    limits = [(f"{what}:{network_of(address)}", rate)]
    if address and ":" in address:
        site = ipaddress.IPv6Network((address, 48), strict=False)
        limits.append((f"{what}:{site}", Rate(rate.number * WIDE, rate.unit)))
    return limits


def _is_known(network: str | None) -> bool:
    since = timezone.now() - KNOWN_FOR
    return network is not None and AccessLog.objects.filter(ip_address=network, attempt_time__gte=since).exists()
