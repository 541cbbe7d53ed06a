"""Find the headings of a spreadsheet: the API's names, the field's, or the admin's labels in any language."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import lru_cache

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from devices.models import Device

REQUIRED = ("device_name", "device_mac", "device_type")
COLUMNS = (*REQUIRED, "device_holder")
ID = "id"  # the device's id if another column is the name, else the name
FIELD_HEADINGS = {"id": "device_name", "mac": "device_mac", "type": "device_type", "holder": "device_holder"}

LINES_SEARCHED = 20  # titles and notes may stand above the headings
# How similar a heading must be to a known one to be taken for a misspelling; less if a column is missing.
ALIKE, ALIKE_IF_MISSING = 0.8, 0.65

Columns = list[str | None]  # the device's field in each column of a file; None for a column that is ignored


class UnreadableFile(Exception):
    """The file cannot be read as a list of devices; the message says why."""


def find_header(lines: Sequence[Sequence[str]]) -> tuple[int, Columns]:
    """Return the index of the first line that names a name, a MAC and a type, and what its columns are.

    A heading that is not known is ignored, unless it looks misspelt.

    Raises:
        UnreadableFile: a heading is missing, misspelt, or there twice.
    """
    for index, texts in enumerate(lines):
        columns = columns_of(texts)
        if set(REQUIRED) <= set(columns):
            _check(texts, columns)
            return index, columns
    raise UnreadableFile(_missing(lines))


def columns_of(texts: Sequence[str]) -> Columns:
    names, known = [_normal(text) for text in texts], _known()
    if any(known.get(name) == "device_name" for name in names if name != ID):
        known = known | {ID: ID}
    return [known.get(name) for name in names]


def count_known_columns(lines: Sequence[Sequence[str]]) -> int:
    """Return how many columns the line names that names most of them."""
    return max((len(set(columns_of(texts)) - {None}) for texts in lines), default=0)


@lru_cache(maxsize=1)
def _known() -> dict[str, str]:
    """Return the column of each known heading in its normal form."""
    known = dict(FIELD_HEADINGS)
    for column in COLUMNS:
        known[_normal(column)] = column
        for language, _name in settings.LANGUAGES:
            with translation.override(language):
                known[_normal(str(Device._meta.get_field(column).verbose_name))] = column  # type: ignore[union-attr]
    return known


def _normal(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())


def _check(texts: Sequence[str], columns: Columns) -> None:
    for column in (*COLUMNS, ID):
        if columns.count(column) > 1:
            same = ", ".join(text for text, named in zip(texts, columns, strict=True) if named == column)
            raise UnreadableFile(
                _("More than one heading stands for %(column)s: %(headings)s. Delete one of these columns.")
                % {"column": column, "headings": same}
            )
    if questions := _misspelled(texts, columns, ALIKE):
        raise UnreadableFile(questions)


def _missing(lines: Sequence[Sequence[str]]) -> str:
    if not lines:
        return _("The file is empty. It must have the headings %(columns)s.") % {"columns": ", ".join(COLUMNS)}
    best = max(lines, key=lambda texts: count_known_columns([texts]))
    columns = columns_of(best)
    message = _("These headings are missing: %(missing)s. Needed are %(columns)s, or ID, MAC, TYPE, HOLDER.") % {
        "missing": ", ".join(column for column in REQUIRED if column not in columns),
        "columns": ", ".join(COLUMNS),
    }
    found = _("What was found: %(found)s.") % {"found": ", ".join(filter(None, best))[:300]}
    return f"{message} {found} {_misspelled(best, columns, ALIKE_IF_MISSING)}".strip()


def _misspelled(texts: Sequence[str], columns: Columns, alike: float) -> str:
    """Ask about each unknown text that resembles the heading of a column which is not there."""
    known, questions = _known(), []
    for text, column in zip(texts, columns, strict=True):
        like = get_close_matches(_normal(text), known, n=1, cutoff=alike) if text and not column else []
        if like and known[like[0]] not in columns:
            question = _("“%(heading)s” is not known: did you mean %(column)s?")
            questions.append(question % {"heading": text, "column": known[like[0]]})
    return " ".join(questions)
