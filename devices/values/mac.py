"""Parse MAC addresses in all usual notations, and find the manufacturer of one.

The canonical form has capital letters, in pairs, with colons: `D0:61:AE:D4:58:94`.
"""

import re
from functools import lru_cache

from netaddr import OUI, NotRegisteredError

_DIGIT = "[0-9A-Fa-f]"


def _groups(size: int, separator: str, count: int) -> str:
    return f"{_DIGIT}{{{size}}}(?:{separator}{_DIGIT}{{{size}}}){{{count - 1}}}"


# 48 or 64 bits, in groups of two, four or six digits with the same separator everywhere, or without a separator.
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
    """Return the address in canonical form: six pairs (48 bits) or eight (64 bits). None if the text is not valid."""
    return _in_pairs(text.strip()) if _NOTATION.fullmatch(text.strip()) else None


def parse_manufacturer_id(text: str) -> str | None:
    """Return the ID that a manufacturer uses instead of an address, in capitals: 4–64 visible ASCII characters.

    None if the text is not valid.
    """
    return text.strip().upper() if _MANUFACTURER_ID.fullmatch(text.strip()) else None


def parse_mac_fragment(text: str) -> str | None:
    """Return a part of an address in canonical form: `d061ae` becomes `D0:61:AE`. None if the text is not valid."""
    return _in_pairs(text.strip()) if _PART.fullmatch(text.strip()) else None


def manufacturer(address: str) -> str | None:
    """Return the company to which the IEEE has assigned the address, from netaddr's copy of the IEEE's list.

    None for a manufacturer ID, a local or random address, and an address that is not assigned.
    """
    return _company(address[:8]) if parse_mac(address) else None


@lru_cache(maxsize=4096)
def _company(prefix: str) -> str | None:
    if int(prefix[:2], 16) & 0b10:  # locally administered: https://standards.ieee.org/ieee/802c/7029/
        return None
    try:
        return str(OUI(prefix.replace(":", "-")).records[0]["org"])
    except NotRegisteredError:
        return None


def _in_pairs(text: str) -> str:
    digits = text.translate(_SEPARATORS).upper()
    return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
