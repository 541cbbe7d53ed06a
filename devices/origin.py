"""Where a change comes from: actor, channel, address and request."""

import ipaddress
import logging
import re
import time
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest

from devices import reach
from devices.models import ApiKey, Through
from devices.reach import EVERYTHING, Reach

WARN_EVERY = 60.0  # seconds, in each process

# a.b.c.d, a.b.c.d:port, v6, [v6] or [v6]:port; a zone of IPv6 (%eth0) is one of the proxy's own
_ENTRY = re.compile(r"\[([^]]*)\](?::[0-9]+)?|([^:]*):[0-9]+|(.*)")

logger = logging.getLogger(__name__)
_warned_at = -WARN_EVERY


@dataclass(frozen=True, slots=True)
class Origin:
    """The actor and channel of a change, for its history, and the scope of the change.

    It has a user or a key, or neither for a command.
    """

    through: Through
    user_id: int | None = None
    api_key: ApiKey | None = None
    address: str | None = None
    request_id: str = ""
    reach: Reach = EVERYTHING


COMMAND = Origin(Through.COMMAND)
IMPORT = Origin(Through.IMPORT)


def of_request(request: HttpRequest, through: Through, api_key: ApiKey | None = None) -> Origin:
    return Origin(
        through=through,
        user_id=None if api_key else request.user.pk,
        api_key=api_key,
        address=client_address(request),
        request_id=request.request_id,  # type: ignore[attr-defined]
        reach=reach.of_key(api_key) if api_key else reach.of_user(request.user),
    )


def client_address(request: HttpRequest) -> str | None:
    """Return the client's IP address, None where there is none (a unix socket).

    Each proxy appends the address that it was called from to `X-Forwarded-For`; only the last TRUSTED_PROXIES
    entries were written by ours, so the client is the first of these. Anything before was sent by the client.
    """
    address = request.META.get("REMOTE_ADDR", "")
    hops = settings.TRUSTED_PROXIES
    if not hops:
        return _address_in(address)
    forwarded = request.headers.get("X-Forwarded-For", "").split(",")
    found = _address_in(forwarded[-hops] if len(forwarded) >= hops else address)
    if found is None or len(forwarded) < hops:
        _warn_of_missing_address(hops)
    return found


def _address_in(entry: str) -> str | None:
    """Return the address in an entry, None if there is none."""
    match = _ENTRY.fullmatch(entry.strip().strip('"'))
    try:
        address = ipaddress.ip_address(match[match.lastindex or 0].partition("%")[0] if match else "")
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)  # mapped: an IPv4 client of a server for both


def _warn_of_missing_address(hops: int) -> None:
    """Log, once a minute, that clients cannot be told apart: they share one limit, and records lack their address."""
    global _warned_at
    if time.monotonic() - _warned_at < WARN_EVERY:
        return
    _warned_at = time.monotonic()
    logger.warning("X-Forwarded-For has no client address where TRUSTED_PROXIES=%d expects it.", hops)


def client_network(request: HttpRequest) -> str | None:
    """Return what attempts are counted under: the client's IPv4 address, or its IPv6 /64, which one client has."""
    return network_of(client_address(request))


def client_networks(request: HttpRequest) -> list[str | None]:
    """Return the client's network and, of an IPv6 client, its site: a /48, which has 65,536 networks."""
    address = client_address(request)
    if address and ":" in address:
        return [network_of(address), f"{network_of(address, 48)}/48"]
    return [address]


def network_of(address: str | None, prefix: int = 64) -> str | None:
    """Return an IPv4 address as it is, and the first address of the network of an IPv6 address."""
    if address and ":" in address:
        return str(ipaddress.IPv6Network((address, prefix), strict=False).network_address)
    return address
