"""Read a MAC address in any usual notation, write one: capitals, pairs, colons."""

import re

# Groups of two, four or six digits, one separator throughout; or no separator at all. 48 or 64 bits.
_NOTATION = re.compile(
    r"""
      [0-9A-F]{12} | [0-9A-F]{16}
    | [0-9A-F]{2} ([:.-]) [0-9A-F]{2} (?:\1[0-9A-F]{2}){4} (?:(?:\1[0-9A-F]{2}){2})?
    | [0-9A-F]{4} ([:.-]) [0-9A-F]{4} \2 [0-9A-F]{4} (?:\2[0-9A-F]{4})?
    | [0-9A-F]{6} [:.-] [0-9A-F]{6}
    """,
    re.VERBOSE,
)
_AS_KEPT = re.compile("[0-9A-F]{2}(?::[0-9A-F]{2}){5}(?:(?::[0-9A-F]{2}){2})?")
_SEPARATORS = str.maketrans("", "", ":.-")
_MAKERS_CODE = re.compile(r"[!-~]{4,64}")
_PART = re.compile(r"[0-9A-F:.-]*[0-9A-F][0-9A-F:.-]*")


def read(text: str) -> str | None:
    """Return the address as `D0:61:AE:D4:58:94` (48 bits) or with eight pairs (64 bits); None if it is none."""
    digits = text.strip().upper()
    if _AS_KEPT.fullmatch(digits):
        return digits
    if not _NOTATION.fullmatch(digits):
        return None
    return _in_pairs(digits.translate(_SEPARATORS))


def read_makers_code(text: str) -> str | None:
    """Return what a maker printed in place of an address, 4–64 visible ASCII characters, in capitals; or None."""
    code = text.strip().upper()
    return code if _MAKERS_CODE.fullmatch(code) else None


def read_part(text: str) -> str | None:
    """Return a part of an address as it stands in one (`d061ae` is `D0:61:AE`), or None if it can be no part."""
    part = text.strip().upper()
    if not _PART.fullmatch(part):
        return None
    return _in_pairs(part.translate(_SEPARATORS))


def _in_pairs(digits: str) -> str:
    return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
