"""Find the header of a list of devices.

A column header can be the API's field name, the short name of decision 4, or the name in any language of the admin.
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import lru_cache

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from devices.models import Device

REQUIRED = ("device_name", "device_mac", "device_type")
COLUMNS = (*REQUIRED, "device_holder")
ID = "id"  # the device's id if another column is the name; otherwise the name
SHORT_NAMES = {"id": "device_name", "mac": "device_mac", "type": "device_type", "holder": "device_holder"}
LABELS = {
    ID: "ID",
    "device_name": gettext_lazy("Device name"),
    "device_mac": gettext_lazy("MAC address"),
    "device_type": gettext_lazy("Type"),
    "device_holder": gettext_lazy("Hospital"),
}

ROWS_SEARCHED = 20  # titles and notes can come before the header
# An unknown text this similar to a known one counts as a typo. If a column is missing, less similarity is enough.
SIMILARITY, SIMILARITY_IF_MISSING = 0.8, 0.65

Columns = list[str | None]  # the field of each column of a file; None for a column that is ignored


class UnreadableFile(Exception):
    """The file cannot be read as a list of devices; the message is the reason, for the user."""


class NoHeader(UnreadableFile):
    """No row has the required columns.

    known: the largest number of known columns in one row; -1 if there are no rows.
    is_misspelled: the row with most known columns has texts that look like the missing ones.
    """

    def __init__(self, message: str, known: int, *, is_misspelled: bool) -> None:
        super().__init__(message)
        self.known, self.is_misspelled = known, is_misspelled


def label(column: str) -> str:
    """Return the column header in the current language, as templates and messages show it."""
    text = str(LABELS[column])
    return text[:1].upper() + text[1:]


def find_header(rows: Sequence[Sequence[str]]) -> tuple[int, Columns]:
    """Return the index of the first row that has the required columns, and the field of each of its columns.

    Unknown columns are ignored, unless their header looks like a typo.

    Raises:
        NoHeader: a column is missing.
        UnreadableFile: a column occurs twice, or its header has a typo.
    """
    for index, texts in enumerate(rows):
        columns = columns_of(texts)
        if set(REQUIRED) <= set(columns):
            _check(texts, columns)
            return index, columns
    raise _missing(rows)


def columns_of(texts: Sequence[str]) -> Columns:
    names, known = [_normalize(text) for text in texts], _known_names()
    if any(known.get(name) == "device_name" for name in names if name != ID):
        known = known | {ID: ID}
    return [known.get(name) for name in names]


def count_known_columns(rows: Sequence[Sequence[str]]) -> int:
    """Return the largest number of known columns in one row."""
    return max((len(set(columns_of(texts)) - {None}) for texts in rows), default=0)


@lru_cache(maxsize=1)
def _known_names() -> dict[str, str]:
    """Return the field of each accepted column header, by the normalized header."""
    known = dict(SHORT_NAMES)
    for column in COLUMNS:
        known[_normalize(column)] = column
        for language, _name in settings.LANGUAGES:
            with translation.override(language):
                known[_normalize(label(column))] = column
                known[_normalize(str(Device._meta.get_field(column).verbose_name))] = column  # type: ignore[union-attr]
    return known


def _normalize(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())


def _labels(columns: Sequence[str]) -> str:
    return ", ".join(map(label, columns))


def _check(texts: Sequence[str], columns: Columns) -> None:
    for column in (*COLUMNS, ID):
        if columns.count(column) > 1:
            same = ", ".join(text for text, found in zip(texts, columns, strict=True) if found == column)
            raise UnreadableFile(
                _("More than one column is “%(column)s”: %(headers)s. Delete all but one of these columns.")
                % {"column": label(column), "headers": same}
            )
    if questions := _suggest(texts, columns, SIMILARITY):
        raise UnreadableFile(questions)


def _missing(rows: Sequence[Sequence[str]]) -> NoHeader:
    if not rows:
        message = _("The file is empty. It must have the columns %(columns)s.") % {"columns": _labels(COLUMNS)}
        return NoHeader(message, -1, is_misspelled=False)
    best = max(rows, key=lambda texts: count_known_columns([texts]))
    columns = columns_of(best)
    message = _("Missing columns: %(missing)s. Expected: %(columns)s (or ID, MAC, TYPE, HOLDER).") % {
        "missing": _labels([column for column in REQUIRED if column not in columns]),
        "columns": _labels(COLUMNS),
    }
    found = _("Found: %(found)s.") % {"found": ", ".join(filter(None, best))[:300]}
    suggestion = _suggest(best, columns, SIMILARITY_IF_MISSING)
    text = f"{message} {found} {suggestion}".strip()
    return NoHeader(text, count_known_columns([best]), is_misspelled=bool(suggestion))


def _suggest(texts: Sequence[str], columns: Columns, similarity: float) -> str:
    """Ask about each unknown text that is similar to the header of a missing column."""
    known, questions = _known_names(), []
    for text, column in zip(texts, columns, strict=True):
        similar = get_close_matches(_normalize(text), known, n=1, cutoff=similarity) if text and not column else []
        if similar and known[similar[0]] not in columns:
            question = _("The column “%(header)s” is unknown. Did you mean “%(column)s”?")
            questions.append(question % {"header": text, "column": label(known[similar[0]])})
    return " ".join(questions)
