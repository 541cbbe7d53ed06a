"""Find a client's IP address and network."""

import ipaddress
import logging
import re
import time

from django.conf import settings
from django.http import HttpRequest

WARN_EVERY = 60.0  # seconds, in each process


# a.b.c.d, a.b.c.d:port, v6, [v6] or [v6]:port; a zone of IPv6 (%eth0) is one of the proxy's own
_ENTRY = re.compile(r"\[([^]]*)\](?::[0-9]+)?|([^:]*):[0-9]+|(.*)")


logger = logging.getLogger(__name__)


_warned_at = -WARN_EVERY


def client_ip(request: HttpRequest) -> str | None:
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
    return network_of(client_ip(request))


def client_networks(request: HttpRequest) -> list[str | None]:
    """Return the client's network and, of an IPv6 client, its site: a /48, which has 65,536 networks."""
    address = client_ip(request)
    if address and ":" in address:
        return [network_of(address), f"{network_of(address, 48)}/48"]
    return [address]


def network_of(address: str | None, prefix: int = 64) -> str | None:
    """Return an IPv4 address as it is, and the first address of the network of an IPv6 address."""
    if address and ":" in address:
        return str(ipaddress.IPv6Network((address, prefix), strict=False).network_address)
    return address
