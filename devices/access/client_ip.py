"""Find a client's IP address and network."""

import ipaddress
import logging
import re
import time

from django.conf import settings
from django.http import HttpRequest

WARN_EVERY = 60.0  # seconds, in each process

# a.b.c.d, a.b.c.d:port, v6, [v6] or [v6]:port, also in quotes and as the parameter `for` of RFC 7239. An IPv6 zone
# (%eth0) belongs to the proxy's host and is dropped. Other parameters can be around `for`.
_ENTRY = re.compile(
    r'(?:for=)?("?)(?:\[(?P<v6>[^]]*)\](?::[0-9]+)?|(?P<v4>[^:"]*):[0-9]+|(?P<bare>[^"]*))\1', re.ASCII | re.IGNORECASE
)

logger = logging.getLogger(__name__)

_warned_at = -WARN_EVERY


def client_ip(request: HttpRequest) -> str | None:
    """Return the client's IP address, or None if it has none (a unix socket).

    Each proxy appends the address of its client to `X-Forwarded-For`. Our proxies wrote only the last
    TRUSTED_PROXIES entries, and the first of these is the client. Earlier entries came from the client and are ignored.
    So are empty ones (RFC 9110, 5.6.1). If the entry has no address, the client has none: neither its proxy's address,
    which is that of all clients, nor an earlier entry, which the client has chosen.
    """
    address = request.META.get("REMOTE_ADDR", "")
    hops = settings.TRUSTED_PROXIES
    if not hops:
        return _address_in(address)
    forwarded = [entry for entry in request.headers.get("X-Forwarded-For", "").split(",") if entry.strip()]
    found = _address_in(forwarded[-hops] if len(forwarded) >= hops else address)
    if found is None or len(forwarded) < hops:
        _warn_of_missing_address(hops)
    return found


def _address_in(entry: str) -> str | None:
    """Return the address of an entry, or None if the entry is not an address."""
    parameters = [parameter.strip() for parameter in entry.split(";")]
    named = [parameter for parameter in parameters if parameter.lower().startswith("for=")]
    match = _ENTRY.fullmatch((named or parameters)[0])
    try:
        address = ipaddress.ip_address((match[match.lastgroup or 0] if match else "").partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)  # mapped: an IPv4 client of a dual-stack server


def _warn_of_missing_address(hops: int) -> None:
    """Log at most once a minute that client addresses are missing: clients share one limit, and records lack them."""
    global _warned_at
    if time.monotonic() - _warned_at < WARN_EVERY:
        return
    _warned_at = time.monotonic()
    logger.warning("X-Forwarded-For has no client address where TRUSTED_PROXIES=%d expects it.", hops)


def client_network(request: HttpRequest) -> str | None:
    """Return the network under which attempts are counted: the IPv4 address, or the /64 that an IPv6 client has."""
    return network_of(client_ip(request))


def client_networks(request: HttpRequest) -> list[str | None]:
    """Return the client's network and, for an IPv6 client, its site: a /48, which has 65,536 networks."""
    address = client_ip(request)
    if address and ":" in address:
        return [network_of(address), f"{network_of(address, 48)}/48"]
    return [address]


def network_of(address: str | None, prefix: int = 64) -> str | None:
    """Return an IPv4 address unchanged, or the first address of an IPv6 address's network."""
    if address and ":" in address:
        return str(ipaddress.IPv6Network((address, prefix), strict=False).network_address)
    return address
