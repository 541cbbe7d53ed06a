"""Where a change comes from: who, through what, from which address, in which request."""

import ipaddress
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest

from devices import reach
from devices.models import ApiKey, Through
from devices.reach import EVERYTHING, Reach


@dataclass(frozen=True, slots=True)
class Origin:
    """What history keeps of a change besides its values, and how far the change may reach.

    Exactly one of user and key, or neither for a command.
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
    """Read a change's origin off the request that RequestIdMiddleware has named."""
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
    if hops := settings.TRUSTED_PROXIES:
        forwarded = request.headers.get("X-Forwarded-For", "").split(",")
        if len(forwarded) >= hops:
            address = forwarded[-hops].strip()
    try:
        read = ipaddress.ip_address(address.partition("%")[0])  # without its zone, which is one of the proxy's own
    except ValueError:
        return None
    return str(getattr(read, "ipv4_mapped", None) or read)  # mapped: who calls by IPv4 a server that listens on both


def client_network(request: HttpRequest) -> str | None:
    """Return what tries are counted under: the client's address, in IPv6 the first of its /64, which one client has."""
    return network_of(client_address(request))


def network_of(address: str | None) -> str | None:
    if address is None or ":" not in address:
        return address
    return str(ipaddress.IPv6Network((address, 64), strict=False).network_address)
