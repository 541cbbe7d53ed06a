"""Escape texts for CSV and XLSX files, so that a spreadsheet program neither runs nor converts them.

An escaped text begins with an apostrophe. `unescape` removes what `escape` has added, so an exported file can be
imported again. The risk: https://owasp.org/www-community/attacks/CSV_Injection
"""

import re
import unicodedata

from devices.values import normalization

# Characters of a cell that are read, after normalization. Escaping adds at most one character to each two of a name.
MAX_CELL_LENGTH = 2 * normalization.MAX_LENGTH

EXCEL_ERRORS = frozenset(
    {"#N/A", "#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!", "#SPILL!", "#CALC!", "#FIELD!", "#BLOCKED!"}
    | {"#CONNECT!", "#UNKNOWN!", "#BUSY!", "#GETTING_DATA", "#EXTERNAL!", "#PYTHON!"}
)

# Texts that a spreadsheet program would run, or convert to a number, date, time or boolean, in English or Indonesian;
# and texts that begin like an escaped one. Two kinds are excluded: a number of up to 11 digits, which programs keep,
# and a MAC address, which has three or more colons. One expression checks all, because an export has millions of cells.
_CONVERTIBLE = re.compile(
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

# Characters that a program may ignore before a formula.
_IGNORED = rf"{normalization.SPACE}{normalization.INVISIBLE}{normalization.REJECTED}"
_IGNORED_START = re.compile(f"[{_IGNORED}]*")

# The characters that begin a formula, and all characters that NFKC normalizes to one of them.
FORMULA_STARTS = "=+@-\u207a\u207c\u208a\u208c\u2a75\u2a76\ufb29\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"

# The start of a cell inside the text, for a program whose delimiter is `;` (Excel in Indonesia) or `|`.
_AFTER_DELIMITER = rf"""([;|][{_IGNORED}"]*)"""
_INNER_FORMULA = re.compile(rf"""{_AFTER_DELIMITER}('*[{re.escape(FORMULA_STARTS)}])""")
_ESCAPED_INNER_FORMULA = re.compile(rf"""{_AFTER_DELIMITER}'('*[{re.escape(FORMULA_STARTS)}])""")


def escape(text: str) -> str:
    """Return the text for a file, with an apostrophe before each part that a program would run or convert."""
    if ";" in text or "|" in text:
        text = _INNER_FORMULA.sub(r"\1'\2", text)
    return f"'{text}" if _needs_escaping(text) else text


def unescape(text: str) -> str:
    """Return the text for which `escape` returned this one."""
    if text.startswith("'") and _needs_escaping(text[1:]):
        text = text[1:]
    return _ESCAPED_INNER_FORMULA.sub(r"\1\2", text) if ";" in text or "|" in text else text


def _needs_escaping(text: str) -> bool:
    """Return whether a program would run or convert the text.

    Both the text itself and its NFKC form without ignored characters at the start are checked.
    """
    if _CONVERTIBLE.match(text):
        return True
    if text.isascii() and text[:1] > " ":
        return False
    ignored = _IGNORED_START.match(text)[0]  # type: ignore[index]  # it matches any text
    if "\t" in ignored or "\r" in ignored:
        return True
    visible = text[len(ignored) :][:MAX_CELL_LENGTH]
    return bool(_CONVERTIBLE.match(unicodedata.normalize("NFKC", visible)))
