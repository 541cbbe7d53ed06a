"""Read a MAC address in any usual notation and write one: capitals, pairs, colons. Find its maker."""

import re
from functools import lru_cache

from netaddr import OUI, NotRegisteredError

_DIGIT = "[0-9A-Fa-f]"


def _groups(size: int, separator: str, count: int) -> str:
    return f"{_DIGIT}{{{size}}}(?:{separator}{_DIGIT}{{{size}}}){{{count - 1}}}"


# Groups of two, four or six digits, one separator throughout; or no separator at all. 48 or 64 bits.
NOTATION = "|".join(
    [f"{_DIGIT}{{12}}", f"{_DIGIT}{{16}}", f"{_DIGIT}{{6}}[:.-]{_DIGIT}{{6}}"]
    + [_groups(2, separator, count) for separator in ("[:]", "[.]", "[-]") for count in (6, 8)]
    + [_groups(4, separator, count) for separator in ("[:]", "[.]", "[-]") for count in (3, 4)]
)
MANUFACTURER_ID = "[!-~]{4,64}"

_NOTATION = re.compile(NOTATION)
_MANUFACTURER_ID = re.compile(MANUFACTURER_ID)
_PART = re.compile(r"[:.-]*+[0-9A-Fa-f][0-9A-Fa-f:.-]*+")
_SEPARATORS = str.maketrans("", "", ":.-")


def parse_mac(text: str) -> str | None:
    """Return the address as `D0:61:AE:D4:58:94` (48 bits) or with eight pairs (64 bits); None if it is none."""
    return _in_pairs(text.strip()) if _NOTATION.fullmatch(text.strip()) else None


def parse_manufacturer_id(text: str) -> str | None:
    """Return what a maker printed in place of an address, 4–64 visible ASCII characters, in capitals; or None."""
    return text.strip().upper() if _MANUFACTURER_ID.fullmatch(text.strip()) else None


def parse_mac_fragment(text: str) -> str | None:
    """Return a part of an address as it stands in one (`d061ae` is `D0:61:AE`), or None if it can be no part."""
    return _in_pairs(text.strip()) if _PART.fullmatch(text.strip()) else None


def manufacturer(address: str) -> str | None:
    """Return the company that the IEEE gave the address to, by netaddr's copy of its list.

    None for a maker's code, a local or random address, and one that was given to nobody.
    """
    return _company(address[:8]) if parse_mac(address) else None


@lru_cache(maxsize=4096)
def _company(prefix: str) -> str | None:
    if int(prefix[:2], 16) & 0b10:  # administered locally: https://standards.ieee.org/ieee/802c/7029/
        return None
    try:
        return str(OUI(prefix.replace(":", "-")).records[0]["org"])
    except NotRegisteredError:
        return None


def _in_pairs(text: str) -> str:
    digits = text.translate(_SEPARATORS).upper()
    return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
