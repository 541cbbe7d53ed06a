"""The networks from which an API key can be used, such as `10.0.0.0/8 2001:db8::/32`. Without ORM and request."""

import re
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface

from django.utils.translation import gettext as _

MAX_NETWORKS = 100

Network = IPv4Network | IPv6Network

_SEPARATOR = re.compile(r"[\s,;]+")
_MAPPED = IPv6Network("::ffff:0:0/96")  # IPv4 addresses, as an IPv6 socket reports them


@lru_cache(maxsize=1000)
def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of the text without duplicates, in their order. An empty text has none.

    They are separated by white space, commas or semicolons. An address is a network of one address. An IPv4-mapped
    IPv6 network becomes an IPv4 network, because `client_ip` returns such addresses as IPv4.

    Raises:
        ValueError: with a message for users, in the current language: a network is invalid, an address has bits after
            the prefix, there are more than MAX_NETWORKS networks, or a text such as `,` has none. It must not become a
            key for every address.
    """
    parts = [each for each in _SEPARATOR.split(text) if each] or text.split()
    networks = tuple(dict.fromkeys(map(_parse, parts)))
    if len(networks) > MAX_NETWORKS:
        message = _("These are %(number)d networks. The maximum is %(limit)d.")
        raise ValueError(message % {"number": len(networks), "limit": MAX_NETWORKS})
    return networks


def format_networks(networks: tuple[Network, ...]) -> str:
    """Return the text from which `parse_networks` returns these networks. An address has no prefix length."""
    return " ".join(
        str(network.network_address if network.prefixlen == network.max_prefixlen else network) for network in networks
    )


@lru_cache(maxsize=1000)  # a request with a known pair of key and address compares nothing
def contains(text: str, address: str | None) -> bool:
    """Return whether an address of `client_ip` is in one of the networks of a valid text. None is in no network."""
    if address is None:
        return False
    client = ip_address(address)
    return any(client in network for network in parse_networks(text))


def _parse(text: str) -> Network:
    try:
        interface = ip_interface(text if "%" not in text else "")  # a zone belongs to one machine, not to a client
    except ValueError as error:
        message = _("%(text)s is not a network. Use a form such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32.")
        raise ValueError(message % {"text": text}) from error
    network = interface.network
    if interface.ip != network.network_address:
        message = _(
            "%(text)s has bits after the length of its prefix. Do you mean the network %(network)s or the address "
            "%(address)s?"
        )
        raise ValueError(message % {"text": text, "network": network, "address": interface.ip})
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        return IPv4Network((str(mapped), network.prefixlen - _MAPPED.prefixlen))
    return network
