"""Recognize the hosts for which a connection does not leave this machine."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Return whether the host is `localhost` or a loopback address. Host names are not resolved."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
