"""Who made a device: the company that the IEEE gave the first half of its MAC to, by netaddr's copy of the list."""

from functools import lru_cache

from netaddr import OUI, NotRegisteredError

from devices import mac


def maker(address: str) -> str | None:
    """Return the company's name; None for a maker's code, a local or random address, or one given to nobody."""
    return _company(address[:8]) if mac.read(address) else None


@lru_cache(maxsize=4096)
def _company(prefix: str) -> str | None:
    if int(prefix[:2], 16) & 0b10:  # administered locally: https://standards.ieee.org/ieee/802c/7029/
        return None
    try:
        return str(OUI(prefix.replace(":", "-")).records[0]["org"])
    except NotRegisteredError:
        return None
