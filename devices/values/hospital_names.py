"""Compare the names of hospitals, and recognize texts that mean no hospital. Decisions 3 and 24 have the reasons."""

import re
import unicodedata
from functools import lru_cache

from devices.values.csv_escaping import EXCEL_ERRORS
from devices.values.normalization import normalize

NO_HOSPITAL = "unknown"  # the `device_holder` of a device without a hospital

# Variants of a character that a word processor or an input method writes: full-width, half-width, small, mathematical.
_VARIANTS = {"<wide>", "<narrow>", "<small>", "<font>"}
_SAME = (
    dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-")
    | dict.fromkeys(map(ord, "\u00b4\u02b9\u02bb\u02bc\u2018\u2019\u201b\u2032"), "'")
    | dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u2033"), '"')
)

# Texts that users and programs write for nothing, in letters only: `N/A`, `#n/a`, `(null)`, `tdk. ada`, `None None`.
_STATE = (
    "(?:applicable|available|assigned|set|specified|known|given|provided|found|registered"
    "|ada|tersedia|diketahui|dikenal|diisi|terisi|ditentukan|terdaftar|dipilih|berlaku)"
)
_OF_WHAT = "(?:hospital|holder|data|value|info|name|rumahsakit|rs|nama|keterangan)?"
_NOTHING = re.compile(
    rf"""
      unknown | na | nan | nat | null | none | nil | nihil | undefined | blank | empty | missing | unassigned
    | unspecified | kosong | datakosong | menyusul | tbd | tba | todo | xxx
    | (?:no|tidak|tanpa|belum) {_STATE}? {_OF_WHAT}
    | (?:not|tdk|tak|blm) {_STATE} {_OF_WHAT}
    """,
    re.VERBOSE,
)
_NO_LETTERS = re.compile(r"[\W_]+")

# Results of a formula that found nothing, in English and Indonesian, and of programs that convert values to texts.
_ZERO = re.compile(r"[+-]?0+(?:[.,]0*)?")
_BOOLEANS = frozenset({"true", "false", "benar", "salah"})
_ERRORS = frozenset(map(str.casefold, EXCEL_ERRORS))
# Errors of other programs and languages: `#ERROR!` (Google), `Err:502` (LibreOffice), `#NAMA?`, `#NV` (German).
_ERROR = re.compile(r"#[^\W\d_]{2,12}[!?]|#nv|err:[0-9]{3}")


def fold_name(name: str) -> str:
    """Return the normalized name without differences of case, of width, and of dashes and quotation marks.

    Two names of one hospital have the same result.
    """
    name = normalize(name)
    if name.isascii():
        return name.casefold()
    folded = "".join(map(_plain, name)).casefold().translate(_SAME)
    return folded if folded.isascii() else unicodedata.normalize("NFC", folded)


@lru_cache(maxsize=4096)
def _plain(character: str) -> str:
    """Return the character of which this one is a variant, or this one."""
    tag, *codes = unicodedata.decomposition(character).split() or [""]
    return chr(int(codes[0], 16)) if tag in _VARIANTS and len(codes) == 1 else character


def means_nothing(text: str) -> bool:
    """Return whether the text says that there is no hospital: `unknown`, `N/A`, `(null)`, `tidak ada`, `--`."""
    folded = fold_name(text)
    if any(unicodedata.category(character) == "So" for character in folded):  # an emoji is part of a name
        return False
    words = dict.fromkeys(word for word in _NO_LETTERS.split(folded) if word)  # without repetitions
    return not words or bool(_NOTHING.fullmatch("".join(words)))


def is_formula_result(text: str) -> bool:
    """Return whether the text is what a formula without a result leaves in a cell: 0, TRUE, FALSE or an Excel error."""
    folded = fold_name(text)
    return folded in _ERRORS or folded in _BOOLEANS or bool(_ZERO.fullmatch(folded) or _ERROR.fullmatch(folded))
