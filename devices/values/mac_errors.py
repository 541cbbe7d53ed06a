"""Explain why a text is not a valid MAC address, so that the user finds the wrong character."""

import re
import unicodedata

from django.utils.translation import gettext as _

from devices.values import mac

MIN_DIGITS = 6  # a text with fewer digits was not meant to be an address
LENGTHS = (12, 16)  # digits

# Characters that users type, scan or copy instead of a digit. Greek and Cyrillic letters have the same shapes.
_LIKE_DIGITS = {
    "0": "OoQ\u039f\u03bf\u041e\u043e",
    "1": "lIiL|!\u0406\u0456",
    "2": "Zz",
    "3": "\u0417\u0437",
    "5": "Ss",
    "6": "G\u0431",
    "9": "gq",
    "A": "\u0391\u0410\u0430",
    "B": "\u0392\u0412\u0432",
    "C": "\u0421\u0441",
    "E": "\u0395\u0415\u0435",
}
_NOTATION = re.compile(mac.NOTATION)
_PAIRS = re.compile("[0-9A-Fa-f]{1,2}(?:[:-][0-9A-Fa-f]{1,2}){4,8}")  # an address with a missing or additional digit
_MEANT = {character: digit for digit, characters in _LIKE_DIGITS.items() for character in characters}


def describe(text: str) -> str:
    """Return a message in the current language for a normalized text that `mac.parse_mac` does not accept."""
    count = mac.count_digits(text)
    if count < MIN_DIGITS:
        return _("This is not a valid MAC address. Use 12 or 16 hexadecimal digits, for example D0:61:AE:D4:58:94.")
    index = mac.find_invalid_character(text)
    if index is not None:
        digit = _meant(text[index]) if mac.parse_mac(text[:index] + _corrected(text[index:])) else None
        message = (
            _("%(character)s at position %(position)d is not a hexadecimal digit. Did you mean %(digit)s?")
            if digit
            else _(
                "%(character)s at position %(position)d cannot be part of a MAC address. Use 12 or 16 hexadecimal "
                "digits, for example D0:61:AE:D4:58:94."
            )
        )
        return message % {"character": _quoted(text[index]), "position": index + 1, "digit": digit}
    if count not in LENGTHS:
        return _(
            "This MAC address has the wrong number of hexadecimal digits: %(count)d instead of 12 or 16. Compare it "
            "with the label of the device."
        ) % {"count": count}
    return _(
        "This MAC address has different separators, or groups of different sizes. Use pairs of digits, for example "
        "D0:61:AE:D4:58:94."
    )


def may_be_manufacturer_id(text: str) -> bool:
    """Return whether a text that is not an address can be a manufacturer ID.

    It has a digit, and it is not an address with a typing error: a character that looks like a digit, or the wrong
    number of digits.
    """
    is_id = mac.parse_manufacturer_id(text) and any(character.isdigit() for character in text)
    is_address = mac.parse_mac(text) or _PAIRS.fullmatch(text) or _NOTATION.fullmatch(_corrected(text))
    return bool(is_id and not is_address)


def describe_group(address: str) -> str:
    """Return a message for an address that `mac.is_group` recognizes."""
    if set(address) == {"0", ":"}:
        return _("A MAC address of zeros only is a placeholder. Use the address on the label of the device.")
    return _(
        "%(address)s is a broadcast or multicast address. It belongs to no single device. Use the address on the label "
        "of the device."
    ) % {"address": address}


def _quoted(character: str) -> str:
    """Return the character in quotation marks, and its code point if it can be mistaken for another one."""
    return f"\u201c{character}\u201d" + ("" if character.isascii() else f" (U+{ord(character):04X})")


def _corrected(text: str) -> str:
    """Return the text with a digit for each character that looks like one."""
    return "".join(character if character in mac.DIGITS else _meant(character) or character for character in text)


def _meant(character: str) -> str | None:
    number = unicodedata.digit(character, None)  # of any script
    return _MEANT.get(character) if number is None else str(number)
