"""Read a cell of a spreadsheet, and escape a text for one.

Excel interprets what is typed: a MAC address of digits becomes a number, a name such as `1-2` a date, and a text that
begins like a formula is run. So cells are written with an apostrophe before what Excel would run or change, and read
without it. https://owasp.org/www-community/attacks/CSV_Injection
"""

import re
import unicodedata

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from devices import mac, normalization
from devices.drafts import normalize


class Spoilt(models.TextChoices):
    """What Excel stored instead of what was typed, which cannot be recovered. The label is for the user."""

    NUMBER = (
        "number",
        _(
            "Excel has turned this into a number, and nobody can tell any more what it was. Format the column as text, "
            "type it again, and choose the file again."
        ),
    )
    DATE = (
        "date",
        _("Excel has turned this into a date. Format the column as text, type it again, and choose the file again."),
    )
    ERROR = "error", _("This cell has an error of Excel in it. Type the value again, and choose the file again.")


class Date(str):
    """A cell that is a date, a time or a duration for Excel."""

    __slots__ = ()


LONGEST = 300  # characters of a cell that are read, after normalization: more than any field may have
MOST_TEXT = 2**15  # characters of a cell that are normalized: as many as Excel's may have
EXACT = 10**15  # from here on Excel keeps the first 15 digits of a number only
ERRORS = frozenset({"#N/A", "#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!", "#SPILL!", "#CALC!"})

_IN_POWERS = re.compile(r"[+-]?\d+(?:[.,]\d+)?E[+-]?\d+", re.IGNORECASE)
_DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{2,4}(?:[ T]\d.*)?|\d{1,2}[- ][A-Z]{3,9}[- ]\d{2,4}", re.IGNORECASE)
_FEW_DIGITS = re.compile(r"\d{6,11}")

# What a spreadsheet program would run, or read as a number, date, time or truth value, in English or Indonesian; and
# what begins like an escaped text. Not a short number, which it keeps, nor a MAC, which has colons. One expression,
# because an export has millions of cells.
_CHANGEABLE = re.compile(
    rf"""
      [=+@'\t\r-]
    | (?: {"|".join(map(re.escape, sorted(ERRORS)))} ) \Z
    | (?! (?: 0 | [1-9]\d{{0,10}} ) \Z ) (?! [^:]* : [^:]* : [^:]* : )
      (?:
          [\d.,($][\d.,:/%()eEaApPmM\ +$-]*
        | (?:\d{{1,4}}[\ ./-]?)?
          (?:jan|feb|mar|apr|may|mei|jun|jul|aug|agu|agt|ags|sep|oct|okt|nov|dec|des)[a-z]*[\ ./-]?\d{{0,4}}
        | true|false|benar|salah
      ) \Z
    """,
    re.VERBOSE | re.IGNORECASE,
)
# What a program may ignore before a formula.
_UNSEEN = rf"{normalization.SPACE}{normalization.INVISIBLE}{normalization.REJECTED}"
_unseen = re.compile(f"[{_UNSEEN}]*")
# What begins a formula, and all that NFKC makes such a character of.
FORMULA = "=+@-\u207a\u207c\u208a\u208c\u2a75\u2a76\ufb29\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
# What begins like a formula for a program whose delimiter is `;` (Excel in Indonesia) or `|`.
_BEHIND_DELIMITER = rf"""([;|][{_UNSEEN}"]*)"""
_FORMULA_WITHIN = re.compile(rf"""{_BEHIND_DELIMITER}('*[{re.escape(FORMULA)}])""")
_ESCAPED_WITHIN = re.compile(rf"""{_BEHIND_DELIMITER}'('*[{re.escape(FORMULA)}])""")


def read(column: str, cell: object) -> tuple[str, Spoilt | None]:
    """Return the cell's text, normalized, and what Excel made of it if that is not what was typed."""
    if isinstance(cell, Date):
        return str(cell), Spoilt.DATE
    if isinstance(cell, str):
        return _read_text(column, normalize(cell[:MOST_TEXT])[:LONGEST])
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return _read_number(column, cell)
    return str(cell).upper(), None  # TRUE or FALSE


def text_of(cell: object) -> str:
    """Return the cell as it looks in Excel, where each number is a float: 7.0 is 7."""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def escaped(text: str) -> str:
    """Return the text for a file, with an apostrophe before what a program would run or change."""
    if ";" in text or "|" in text:
        text = _FORMULA_WITHIN.sub(r"\1'\2", text)
    return f"'{text}" if _would_change(text) else text


def unescaped(text: str) -> str:
    """Return the text of which `escaped` made this one."""
    if text.startswith("'") and _would_change(text[1:]):
        text = text[1:]
    return _ESCAPED_WITHIN.sub(r"\1\2", text) if ";" in text or "|" in text else text


def _would_change(text: str) -> bool:
    """Return whether a program would run or change the text, as it is or without invisible characters and in NFKC."""
    if _CHANGEABLE.match(text):
        return True
    if text.isascii() and text[:1] > " ":
        return False
    unseen = _unseen.match(text)[0]  # type: ignore[index]  # it matches any text
    if "\t" in unseen or "\r" in unseen:
        return True
    seen = text[len(unseen) :][:LONGEST]
    return bool(_CHANGEABLE.match(unicodedata.normalize("NFKC", seen)))


def _read_text(column: str, text: str) -> tuple[str, Spoilt | None]:
    plain = unescaped(text)
    if text.startswith("'"):
        return plain, None
    if text in ERRORS:
        return text, Spoilt.ERROR
    if column == "device_mac":
        return plain, None if _is_mac(plain) else _spoilt_mac(plain)
    is_power = column == "device_name" and _IN_POWERS.fullmatch(plain)  # a name may be any other text
    return plain, Spoilt.NUMBER if is_power else None


def _spoilt_mac(text: str) -> Spoilt | None:
    if _DATE.fullmatch(text):
        return Spoilt.DATE
    # A MAC of few digits began with zeros, which are lost.
    return Spoilt.NUMBER if _IN_POWERS.fullmatch(text) or _FEW_DIGITS.fullmatch(text) else None


def _read_number(column: str, number: float) -> tuple[str, Spoilt | None]:
    text = text_of(number)
    certain = abs(number) < EXACT
    if column == "device_mac":  # 112233445500 may have been 1122334455E2, which is a MAC too
        certain = len(text) == 12 and text.isdigit() and not text.endswith("00")
    return text, None if certain else Spoilt.NUMBER


def _is_mac(text: str) -> bool:
    if mac.read(text):
        return True
    return settings.DEVICES_ALLOW_NON_MAC and not _IN_POWERS.fullmatch(text) and mac.read_makers_code(text) is not None
