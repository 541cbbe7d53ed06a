"""Normalize texts, so that texts that look the same are equal. Decision 21 has the reasons.

The module uses no ORM, no request and no settings. The constants are parts of regular expressions (the content of a
character class). The tests build the formats of /api/schema from them (tests/support/formats.py).
"""

import re
import unicodedata

MAX_LENGTH = 255  # characters of a name
MAX_DECOMPOSITION = 4  # NFC composes up to this number of characters to one
# Combining marks of one letter. No language needs more: https://www.unicode.org/reports/tr15/#Stream_Safe_Text_Format
MAX_MARKS = 30

# Characters above U+FFFF are not escaped, because dialects of regular expressions differ in the syntax.
# The white space of Python and of Unicode, and the Braille blank.
SPACE = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u2800\u3000"
# Unicode's default-ignorable characters, except those that set the direction of text; and the null note head.
INVISIBLE = (
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u2065\u206a-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    + "\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_CONTROLS = r"\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
_DIRECTIONAL = r"\u202a-\u202e\u2066-\u2069"
_OTHER_FORMATS = r"\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2" + "\U000110bd\U000110cd\U00013430-\U0001343f"
_ENDS_OF_PLANES = "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 15))
# U+FFFD replaces invalid bytes. Most others are noncharacters.
_BROKEN = rf"\ufdd0-\ufdef\ufff9-\uffff{_ENDS_OF_PLANES}"
_PRIVATE = r"\ue000-\uf8ff" + "\U000f0000-\U0010ffff"
REJECTED = _CONTROLS + _DIRECTIONAL + _OTHER_FORMATS + _BROKEN + _PRIVATE

_invisible = re.compile(f"[{INVISIBLE}]+")
# Lone surrogates are rejected too. They are not in REJECTED, because valid UTF-8 cannot contain them.
_rejected = re.compile(rf"[{REJECTED}\ud800-\udfff]")


def normalize(text: str) -> str:
    """Return the text in NFC, without invisible characters, and with one space for each run of white space.

    A text of more than MAX_LENGTH characters may be returned without conversion to NFC. It is then too long in NFC as
    well, so the caller rejects it. NFC sorts combining marks in time that grows with the square of their number.
    """
    if text.isascii():
        return " ".join(text.split())
    text = " ".join(_invisible.sub("", text).replace("\u2800", " ").split())
    if len(text) > MAX_LENGTH and not _may_be_shorter(text):
        return text
    return unicodedata.normalize("NFC", text)


def _may_be_shorter(text: str) -> bool:
    """Return whether NFC can shorten the text to MAX_LENGTH characters in a short time."""
    if len(text) > MAX_DECOMPOSITION * MAX_LENGTH:
        return False
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks > MAX_MARKS:
            return False
    return True


def is_rejected(text: str) -> bool:
    """Return whether a normalized text has characters that names must not have: control, directional, private use …"""
    return bool(_rejected.search(text))
