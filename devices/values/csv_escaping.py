"""Escape a text for a spreadsheet file, so that no program runs or changes it."""

import re
import unicodedata

from devices.values import normalization

MAX_CELL_LENGTH = 300  # characters of a cell that are read, after normalization: more than any field may have


EXCEL_ERRORS = frozenset({"#N/A", "#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!", "#SPILL!", "#CALC!"})


# What a spreadsheet program would run, or read as a number, date, time or truth value, in English or Indonesian; and
# what begins like an escaped text. Not a short number, which it keeps, nor a MAC, which has colons. One expression,
# because an export has millions of cells.
_CHANGEABLE = re.compile(
    rf"""
      [=+@'\t\r-]
    | (?: {"|".join(map(re.escape, sorted(EXCEL_ERRORS)))} ) \Z
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


def escape(text: str) -> str:
    """Return the text for a file, with an apostrophe before what a program would run or change."""
    if ";" in text or "|" in text:
        text = _FORMULA_WITHIN.sub(r"\1'\2", text)
    return f"'{text}" if _would_change(text) else text


def unescape(text: str) -> str:
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
    seen = text[len(unseen) :][:MAX_CELL_LENGTH]
    return bool(_CHANGEABLE.match(unicodedata.normalize("NFKC", seen)))
