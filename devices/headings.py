"""Find the headings of a spreadsheet: the API's names, the field's, or the admin's labels in any language."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from devices.models import Device

COLUMNS = ("device_name", "device_mac", "device_type", "device_holder")
REQUIRED = COLUMNS[:3]
ID = "id"  # the device's id if another column is the name, else the name
FIELD_HEADINGS = {"id": "device_name", "mac": "device_mac", "type": "device_type", "holder": "device_holder"}

_OWN = {*FIELD_HEADINGS, *(column.replace("_", "") for column in COLUMNS)}  # not the admin's labels

LINES_SEARCHED = 20  # titles and notes may stand above the headings
# How similar a heading must be to a known one to be taken for a misspelling; less if a column is missing.
ALIKE, ALIKE_IF_MISSING = 0.8, 0.65


class Unreadable(Exception):
    """The file cannot be read as a list of devices; the message says why."""


@dataclass(frozen=True)
class Headings:
    """The device's field in each column of the file; None for a column that is ignored."""

    columns: tuple[str | None, ...]
    passed_over: tuple[str, ...]
    lines: int  # down to the headings, of the lines searched


def find(lines: Sequence[Sequence[str]]) -> Headings:
    """Find the headings among the first lines of a file: the first line that has a name, a MAC and a type.

    A heading that is not known is ignored, unless it looks misspelt.

    Raises:
        Unreadable: a heading is missing, misspelt, or there twice.
    """
    for count, line in enumerate(lines, start=1):
        if set(REQUIRED) <= set(_columns(line)):
            return _checked(line, count)
    raise Unreadable(_missing(lines))


def known_in(cells: Sequence[str]) -> int:
    """Return how many columns are named in a line."""
    return len(set(_columns(cells)) - {None})


def _columns(texts: Sequence[str]) -> list[str | None]:
    names = [_normal(text) for text in texts]
    known = _known()
    if any(known.get(name) == "device_name" for name in names if name != ID):
        known = known | {ID: ID}
    # Beside one of these, an admin's label of the same column is another column.
    named = {known[name] for name in names if name in _OWN}
    columns = []
    for name in names:
        column = known.get(name)
        columns.append(None if column in named and name not in _OWN else column)
    return columns


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


def _checked(texts: Sequence[str], lines: int) -> Headings:
    columns = _columns(texts)
    for column in (*COLUMNS, ID):
        same = [text for text, named in zip(texts, columns, strict=True) if named == column]
        if len(same) > 1:
            raise Unreadable(
                _("More than one heading stands for %(column)s: %(headings)s. Delete one of these columns.")
                % {"column": column, "headings": ", ".join(same)}
            )
    passed_over = [text for text, column in zip(texts, columns, strict=True) if text and column is None]
    if questions := _misspelt(passed_over, columns, ALIKE):
        raise Unreadable(questions)
    return Headings(tuple(columns), tuple(passed_over), lines)


def _missing(lines: Sequence[Sequence[str]]) -> str:
    if not lines:
        return _("The file is empty. It must have the headings %(columns)s.") % {"columns": ", ".join(COLUMNS)}
    best = max(lines, key=known_in)
    named = _columns(best)
    message = _("These headings are missing: %(missing)s. Needed are %(columns)s, or ID, MAC, TYPE, HOLDER.") % {
        "missing": ", ".join(column for column in REQUIRED if column not in named),
        "columns": ", ".join(COLUMNS),
    }
    found = [text for text in best if text]
    message += " " + _("What was found: %(found)s.") % {"found": ", ".join(found)[:300]}
    return f"{message} {_misspelt(found, named, ALIKE_IF_MISSING)}".strip()


def _misspelt(texts: Sequence[str], columns: Sequence[str | None], alike: float) -> str:
    """Ask about each unknown text that resembles the heading of a column which is not there."""
    known, questions = _known(), []
    for text in texts:
        like = get_close_matches(_normal(text), known, n=1, cutoff=alike)
        if like and _normal(text) not in known and known[like[0]] not in columns:
            question = _("“%(heading)s” is not known: did you mean %(column)s?")
            questions.append(question % {"heading": text, "column": known[like[0]]})
    return " ".join(questions)
