"""Find the headings of a spreadsheet: ours, the field's, or the admin's own words in any of its languages."""

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
ID = "id"  # the registry's own number, in a file that has the devices' names too
FIELD_HEADINGS = {"id": "device_name", "mac": "device_mac", "type": "device_type", "holder": "device_holder"}

MAX_COLUMNS = 50  # that are read: more than any list of devices has
LINES_SEARCHED = 20  # titles and notes may stand above the headings
MERGED_LINES = 3  # of which headings in merged cells may be spread over
# How much of a heading's letters must be a known one's for a slip of the pen: more where nothing is missing.
ALIKE, ALIKE_IF_MISSING = 0.8, 0.65


class Unreadable(Exception):
    """The file cannot be read as a list of devices; the message says why, to whoever chose the file."""


@dataclass(frozen=True)
class Headings:
    """Which column of ours stands at which place; None for a column that is passed over."""

    columns: tuple[str | None, ...]
    passed_over: tuple[str, ...]
    lines: int  # how many of the lines searched are above the first device


def find(lines: Sequence[Sequence[str]]) -> Headings:
    """Find the headings among the first lines of a file, none of them blank.

    1. The headings are the first line that has a name, a MAC and a type. Above it may stand anything.
    2. Where a cell of that line is empty, a heading in a line above (merged cells) counts; and the line beneath is one
       of headings too if it has nothing but such.
    3. A heading that is not known is passed over, unless it looks like a slip of the pen.

    Raises:
        Unreadable: a heading is missing, stands twice, or is misspelt.
    """
    for place in range(len(lines)):
        texts = _merged(lines[max(0, place + 1 - MERGED_LINES) : place + 1])
        if set(REQUIRED) <= set(_columns(texts)):
            more = _beneath(texts, lines[place + 1]) if place + 1 < len(lines) else None
            return _checked(more or texts, place + (2 if more else 1))
    raise Unreadable(_missing(lines))


def known_in(cells: Sequence[str]) -> int:
    """Return how many of our columns are named in a line."""
    return len({column for column in _columns(cells) if column})


def _columns(texts: Sequence[str]) -> list[str | None]:
    names = [_normal(text) for text in texts]
    known = _known()
    if "device_name" in (known.get(name) for name in names if name != ID):
        known = known | {ID: ID}
    own = {known[name] for name in names if name in _own()}
    return [column if (column := known.get(name)) not in own or name in _own() else None for name in names]


@lru_cache(maxsize=1)
def _own() -> frozenset[str]:
    """Return the headings of ours and the field's: beside one of them, a word of the admin's is another column."""
    return frozenset([*map(_normal, COLUMNS), *FIELD_HEADINGS])


@lru_cache(maxsize=1)
def _known() -> dict[str, str]:
    """Return our column for each heading in its normal form."""
    known = dict(FIELD_HEADINGS)
    for column in COLUMNS:
        known[_normal(column)] = column
        for language, _name in settings.LANGUAGES:
            with translation.override(language):
                known[_normal(str(Device._meta.get_field(column).verbose_name))] = column  # type: ignore[union-attr]
    return known


def _normal(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())


def _merged(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return the last line, its empty cells filled with the known headings that stand above them."""
    *above, last = lines
    texts = list(last) + [""] * (max(map(len, lines)) - len(last))
    known = _known()
    for line in reversed(above):
        for place, text in enumerate(line):
            if not texts[place] and _normal(text) in known:
                texts[place] = text
    return texts


def _beneath(texts: list[str], line: Sequence[str]) -> list[str] | None:
    """Return the headings with those of the line beneath, None if that line is no part of them."""
    columns, known = _columns(texts), _known()
    places = [place for place, text in enumerate(line) if text]
    free = all(place >= len(columns) or columns[place] is None for place in places)
    if not places or not free or not all(_normal(line[place]) in known for place in places):
        return None
    both = texts + [""] * (len(line) - len(texts))
    for place in places:
        both[place] = line[place]
    return both


def _checked(texts: list[str], lines: int) -> Headings:
    columns = _columns(texts)
    for column in (*COLUMNS, ID):
        same = [text for text, named in zip(texts, columns, strict=True) if named == column]
        if len(same) > 1:
            raise Unreadable(
                _("More than one heading stands for %(column)s: %(headings)s. Delete one of these columns.")
                % {"column": column, "headings": ", ".join(same)}
            )
    passed_over = [text for text, column in zip(texts, columns, strict=True) if text and column is None]
    if slips := [slip for text in passed_over if (slip := _slip(text)) and slip[1] not in columns]:
        raise Unreadable(_told(slips))
    return Headings(tuple(columns), tuple(passed_over), lines)


def _missing(lines: Sequence[Sequence[str]]) -> str:
    if not lines:
        return _("The file is empty. It must have the headings %(columns)s.") % {"columns": ", ".join(COLUMNS)}
    best = max(lines, key=known_in)
    named = _columns(best)
    told = _("These headings are missing: %(missing)s. Needed are %(columns)s, or ID, MAC, TYPE, HOLDER.") % {
        "missing": ", ".join(column for column in REQUIRED if column not in named),
        "columns": ", ".join(COLUMNS),
    }
    found = [text for text in best if text]
    told += " " + _("What was found: %(found)s.") % {"found": ", ".join(found)[:300]}
    slips = [slip for text in found if (slip := _slip(text, ALIKE_IF_MISSING)) and slip[1] not in named]
    return f"{told} {_told(slips)}".strip()


def _slip(text: str, alike: float = ALIKE) -> tuple[str, str] | None:
    """Return the heading with the column that it may have been meant for."""
    known = _known()
    if _normal(text) in known:
        return None
    like = get_close_matches(_normal(text), known, n=1, cutoff=alike)
    return (text, known[like[0]]) if like else None


def _told(slips: list[tuple[str, str]]) -> str:
    sentence = _("“%(heading)s” is not known: did you mean %(column)s?")
    return " ".join(sentence % {"heading": heading, "column": column} for heading, column in slips)
