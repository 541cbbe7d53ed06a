"""Read a MAC address in any usual notation, write one: capitals, pairs, colons."""

import re

_DIGIT = "[0-9A-Fa-f]"


def _groups(size: int, separator: str, count: int) -> str:
    return f"{_DIGIT}{{{size}}}(?:{separator}{_DIGIT}{{{size}}}){{{count - 1}}}"


# Groups of two, four or six digits, one separator throughout; or no separator at all. 48 or 64 bits.
NOTATION = "|".join(
    [f"{_DIGIT}{{12}}", f"{_DIGIT}{{16}}", f"{_DIGIT}{{6}}[:.-]{_DIGIT}{{6}}"]
    + [_groups(2, separator, count) for separator in ("[:]", "[.]", "[-]") for count in (6, 8)]
    + [_groups(4, separator, count) for separator in ("[:]", "[.]", "[-]") for count in (3, 4)]
)
MAKERS_CODE = "[!-~]{4,64}"

_NOTATION = re.compile(NOTATION)
_AS_KEPT = re.compile("[0-9A-F]{2}(?::[0-9A-F]{2}){5}(?:(?::[0-9A-F]{2}){2})?")
_SEPARATORS = str.maketrans("", "", ":.-")
_MAKERS_CODE = re.compile(MAKERS_CODE)
_PART = re.compile(r"[:.-]*+[0-9A-Fa-f][0-9A-Fa-f:.-]*+")


def read(text: str) -> str | None:
    """Return the address as `D0:61:AE:D4:58:94` (48 bits) or with eight pairs (64 bits); None if it is none."""
    address = text.strip()
    if _AS_KEPT.fullmatch(address):
        return address
    if not _NOTATION.fullmatch(address):
        return None
    return _in_pairs(address.translate(_SEPARATORS).upper())


def read_makers_code(text: str) -> str | None:
    """Return what a maker printed in place of an address, 4–64 visible ASCII characters, in capitals; or None."""
    code = text.strip()
    return code.upper() if _MAKERS_CODE.fullmatch(code) else None


def read_part(text: str) -> str | None:
    """Return a part of an address as it stands in one (`d061ae` is `D0:61:AE`), or None if it can be no part."""
    part = text.strip()
    if not _PART.fullmatch(part):
        return None
    return _in_pairs(part.translate(_SEPARATORS).upper())


def _in_pairs(digits: str) -> str:
    return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
