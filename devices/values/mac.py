"""Parse MAC addresses in all usual notations, and find the manufacturer of one. Decision 24 has the reasons.

The canonical form has capital letters, in pairs, with colons: `D0:61:AE:D4:58:94`.
"""

import re
from functools import lru_cache

from netaddr import OUI, NotRegisteredError

from devices.values.normalization import MAX_LENGTH, normalize

_DIGIT = "[0-9A-Fa-f]"
DIGITS = frozenset("0123456789ABCDEFabcdef")


def _groups(size: int, separator: str, count: int) -> str:
    return f"{_DIGIT}{{{size}}}(?:{separator}{_DIGIT}{{{size}}}){{{count - 1}}}"


# 48 or 64 bits, in groups of two, four or six digits with the same separator everywhere, or without a separator.
NOTATION = "|".join(
    [f"{_DIGIT}{{12}}", f"{_DIGIT}{{16}}", f"{_DIGIT}{{6}}[:.-]{_DIGIT}{{6}}"]
    + [_groups(2, separator, count) for separator in ("[:]", "[.]", "[-]") for count in (6, 8)]
    + [_groups(4, separator, count) for separator in ("[:]", "[.]", "[-]") for count in (3, 4)]
)
MANUFACTURER_ID = "[!-~]{4,64}"
SEPARATORS = " :._-"
GROUPS = {2: (6, 8), 4: (3, 4), 6: (2,), 12: (1,), 16: (1,)}  # the possible numbers of groups, by their size

_CANONICAL = re.compile("[0-9A-F]{2}(?::[0-9A-F]{2}){5}(?:(?::[0-9A-F]{2}){2})?")
_NOTATION = re.compile(NOTATION)
_MANUFACTURER_ID = re.compile(MANUFACTURER_ID)
# Without leading zeros: `2:C0:0:0:0:2A`, as `arp` of macOS prints it.
_UNPADDED = re.compile("|".join(f"{_DIGIT}{{1,2}}(?:{one}{_DIGIT}{{1,2}}){{{n}}}" for one in ":-" for n in (5, 7)))

# IPv6, IPv4 (RFC 1112), Cisco, bridges (IEEE 802.1), Profinet, IEC 61850, PTP (IEEE 1588).
MULTICAST = ("33:33:", "01:00:5E:", "01:00:0C:", "01:80:C2:", "01:0E:CF:", "01:0C:CD:", "01:1B:19:")
_GROUP_OCTETS = {"00", "FF"} | {prefix[:2] for prefix in MULTICAST}

# Texts that users copy with an address. Each word has a letter outside A–F.
_WORDS = "mac|bt|ble|bluetooth|bd[ _]?addr|wi-?fi|wlan|ethernet|ether|hw ?addr|physical|address|addr|alamat"
_LABEL = re.compile(rf"(?:(?:{_WORDS}|eui-?(?:48|64)(?![0-9a-f])|link/)[ _./:=#()\[\]-]*+)*+(?:0x)?", re.IGNORECASE)
# A label after the address: `D0:61:AE:D4:58:94 (BLE)`.
_LABEL_AFTER = re.compile(rf"(?<=[0-9a-f]) ?[ (\[,;-] ?(?:(?:{_WORDS})[ /.]?){{1,4}}\Z", re.IGNORECASE)
_AROUND = " \"'`()[]{}<>\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a"
_AFTER = " .,;"
_SPACED_SEPARATOR = re.compile(" ?([:._-]) ?")
_SEPARATORS_OF_PARTS = re.compile(f"[{SEPARATORS}]+")
_NO_SEPARATORS = str.maketrans("", "", SEPARATORS)
# Full-width characters, and characters that look like a separator.
_COMMON_FORMS = (
    {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
    | dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u207b\u2212\ufe58\ufe63"), "-")
    | dict.fromkeys(map(ord, "\u02d0\u2236\ua789\ufe13\ufe55"), ":")
    | dict.fromkeys(map(ord, "\u00b7\u2022\u2027\u22c5\u3002\ufe52\uff61"), ".")
)


def parse_mac(text: str) -> str | None:
    """Return the address in canonical form: six pairs (48 bits) or eight (64 bits). None if the text is not valid.

    The address can be one that no device has: see `is_group`.
    """
    if _CANONICAL.fullmatch(text):
        return text  # imports parse a million of these
    if _NOTATION.fullmatch(text.strip()):
        return _in_pairs(text.strip())
    return _parse_digits(simplify(text)[0])


def _parse_digits(text: str) -> str | None:
    """Return the address of a text from `simplify`, which can have spaces, underscores, or no leading zeros."""
    usual = text if ":" in text else text.replace(" ", ":") if " " in text else text.replace("_", ":")
    if _NOTATION.fullmatch(usual):  # a lookup parses a thousand of these
        return _in_pairs(text)
    separators = set(text) - DIGITS
    if len(separators) > 1 or not separators <= set(SEPARATORS):
        return None
    if _UNPADDED.fullmatch(text):
        return ":".join(group.zfill(2) for group in text.replace("-", ":").split(":")).upper()
    groups = text.split(separators.pop()) if separators else [text]
    size = len(groups[0])
    if len(groups) not in GROUPS.get(size, ()) or any(len(group) != size for group in groups):
        return None
    return _in_pairs(text)


def simplify(text: str) -> tuple[str, bool]:
    """Return the text without a label, quotes and brackets, and whether it had any of them.

    The result has plain separators, and no spaces around them. It is empty if the text is too long for an address.
    """
    whole, inner = _strip(normalize(text))
    return _SPACED_SEPARATOR.sub(r"\1", inner) if " " in inner else inner, inner != whole


def _strip(text: str) -> tuple[str, str]:
    """Return the normalized text in common forms, with as many characters, and its part that should be an address."""
    if len(text) > MAX_LENGTH:
        text = ""
    elif not text.isascii():
        text = text.translate(_COMMON_FORMS)
    inner = text.rstrip(_AFTER).strip(_AROUND)
    label = _LABEL.match(inner).end()  # type: ignore[union-attr]  # it matches any text
    return text, _LABEL_AFTER.sub("", inner[label:]).rstrip(_AFTER).strip(_AROUND)


def find_invalid_character(text: str) -> int | None:
    """Return the index of the first character of a normalized text that cannot be part of an address."""
    whole, inner = _strip(text)
    start = whole.find(inner)
    allowed = DIGITS.union(SEPARATORS)
    return next((index for index, character in enumerate(inner, start) if character not in allowed), None)


def count_digits(text: str) -> int:
    """Return the number of hexadecimal digits, without those of a label."""
    return sum(character in DIGITS for character in simplify(text)[0])


def is_exact_number(digits: str) -> bool:
    """Return whether the decimal digits of a number are those of the address that a user has typed.

    112233445500 may have been `1122334455E2`, which spreadsheets read as a number. They keep 15 digits of a number, so
    16 digits may have been others.
    """
    return len(digits) == 12 and digits.isdigit() and not digits.endswith("00")


def parse_manufacturer_id(text: str) -> str | None:
    """Return the ID that a manufacturer uses instead of an address, in capitals: 4–64 visible ASCII characters.

    None if the text is not valid.
    """
    return text.strip().upper() if _MANUFACTURER_ID.fullmatch(text.strip()) else None


def parse_mac_or_manufacturer_id(text: str) -> str | None:
    """Return the address, or else the manufacturer ID. None if the text is neither.

    `1-2-3-4-5-6` is an ID here, because an address rarely has hyphens and no leading zeros.
    """
    code = parse_manufacturer_id(text)
    if code and "-" in code and _UNPADDED.fullmatch(code) and not _NOTATION.fullmatch(code):
        return code
    return parse_mac(text) or code


def is_group(address: str) -> bool:
    """Return whether no single device has this address: all zeros, broadcast, or a known multicast address.

    Other addresses with an odd first octet are valid: Bluetooth devices use them as random static addresses. A
    manufacturer ID is none of these, even if it looks like the beginning of one.
    """
    if address[:2] not in _GROUP_OCTETS or not _CANONICAL.fullmatch(address):
        return False
    return address.startswith(MULTICAST) or len(set(address)) == 2  # one digit and the colon


def mac_fragments(text: str) -> list[str]:
    """Return the parts of an address that the text can mean, in canonical form, the most likely first.

    A search must look for each of them: `dca1` can be `DC:A1` or `D:CA:1`, because the first digit can be the second
    one of a pair. A text with spaces, underscores or a label needs four digits, because many names of devices look like
    it.
    """
    plain, has_label = simplify(text)
    if _CANONICAL.fullmatch(text) or _NOTATION.fullmatch(plain):
        return [_in_pairs(plain)]
    if not DIGITS.issuperset(set(plain) - set(SEPARATORS)):
        return []
    groups = [group for group in _SEPARATORS_OF_PARTS.split(plain.upper()) if group]
    digits = "".join(groups)
    if not digits:
        return []
    if (has_label or " " in plain or "_" in plain) and not (len(digits) >= 4 and _are_regular(groups)):
        return []
    if len(groups) == 1:
        odd = len(digits) % 2
        return [_split(digits, first) for first in (odd, 1 - odd)] if len(digits) > 1 else [digits]
    if max(map(len, groups)) > 2:
        return [_split(digits, len(groups[0]) % 2)]
    inner = [group.zfill(2) for group in groups[1:-1]]
    ends = [groups[-1], groups[-1].zfill(2)] if len(groups) in GROUPS[2] else [groups[-1]]
    return [":".join([groups[0], *inner, end]) for end in dict.fromkeys(ends)]


def _are_regular(groups: list[str]) -> bool:
    """Return whether all groups have the same size as in an address. The first and the last one can be shorter."""
    size = max(map(len, groups))
    return len(groups) == 1 or (size in (2, 4, 6) and all(len(group) == size for group in groups[1:-1]))


def manufacturer(address: str) -> str | None:
    """Return the company to which the IEEE has assigned the address, from netaddr's copy of the IEEE's list.

    None for a manufacturer ID, a local or random address, and an address that is not assigned.
    """
    return _company(address[:8]) if _CANONICAL.fullmatch(address) else None


@lru_cache(maxsize=4096)
def _company(prefix: str) -> str | None:
    if int(prefix[:2], 16) & 0b10:  # locally administered: https://standards.ieee.org/ieee/802c/7029/
        return None
    try:
        return str(OUI(prefix.replace(":", "-")).records[0]["org"])
    except NotRegisteredError:
        return None


def _in_pairs(text: str) -> str:
    """Return the even number of digits in this text in pairs. This takes a fifth of the time of `_split`."""
    return bytes.fromhex(text.translate(_NO_SEPARATORS)).hex(":").upper()


def _split(digits: str, first: int) -> str:
    """Return the digits in pairs, after a first group of this number of digits."""
    pairs = [digits[i : i + 2] for i in range(first, len(digits), 2)]
    return ":".join([digits[:first], *pairs] if first else pairs)
