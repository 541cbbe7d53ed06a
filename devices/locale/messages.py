"""Collect the strings to translate and compile the translations: `make messages`. Needs no gettext installed."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import axes
import django
import unfold
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.contrib import admin, auth
from django.utils.translation.template import templatize

APP = Path(__file__).resolve().parent.parent
PO = APP / "locale" / "id" / "LC_MESSAGES" / "django.po"
MO = PO.with_suffix(".mo")
FIXED = datetime(2026, 11, 23, tzinfo=UTC)
KEYWORDS = {**DEFAULT_KEYWORDS, "gettext_lazy": None, "ngettext_lazy": (1, 2)}
OWN = [APP, APP.parent / "cexup", APP.parent / "templates"]
PASSED_OVER = {"tests", "migrations", "locale"}

# What the admin shows of its libraries, as far as they bring no Indonesian themselves.
LIBRARIES = [
    Path(unfold.__file__).parent / part
    for part in ("admin.py", "forms.py", "widgets.py", "mixins", "templatetags", "templates/admin", "templates/unfold")
] + [
    Path(unfold.__file__).parent / "templates/registration",
    Path(unfold.__file__).parent / "contrib/filters",
    Path(axes.__file__).parent,
]
THEIRS = [
    Path(django.__file__).parent / "conf/locale",
    *(Path(str(package.__file__)).parent / "locale" for package in (admin, auth, axes)),
]


def collect() -> Catalog:
    """Return the catalogue of all strings that the code marks."""
    catalog = Catalog(
        locale="id",
        project="cexup device registry",
        header_comment="# Indonesian translations of the device registry. `make messages` collects and compiles.",
        creation_date=FIXED,  # a date that moved with every run would be all that changes
        revision_date=FIXED,
        fuzzy=False,
    )
    for message, context in _marked(OWN):
        catalog.add(message, context=context)
    known = _translated_by_libraries()
    for message, context in _marked(LIBRARIES):
        if _first(message) not in known:
            catalog.add(message, context=context)
    return catalog


def _marked(places: Iterable[Path]) -> Iterator[tuple[Any, str | None]]:
    """Give each string that Python or a template marks for translation."""
    for place in places:
        for path in sorted([place] if place.is_file() else place.rglob("*")):
            if path.suffix not in (".py", ".html") or PASSED_OVER & set(path.relative_to(place).parts):
                continue
            text = path.read_text(encoding="utf-8")
            if path.suffix == ".html":  # as Python that calls gettext; what it leaves of the rest has no sane indent
                text = "\n".join(line.strip() for line in templatize(text).splitlines())
            for _line, message, _comments, context in extract("python", BytesIO(text.encode()), keywords=KEYWORDS):
                yield message, context


def _translated_by_libraries() -> set[str]:
    found: set[str] = set()
    for folder in THEIRS:
        with (folder / "id/LC_MESSAGES/django.po").open("rb") as file:
            found |= {_first(message.id) for message in read_po(file, locale="id") if message.string}
    return found


def _first(message: Any) -> str:
    return str(message if isinstance(message, str) else message[0])


def is_translated(message: Message) -> bool:
    return all(message.string if isinstance(message.string, tuple) else [message.string])


def translations() -> Catalog:
    with PO.open("rb") as file:
        return read_po(file, locale="id")


def compiled(catalog: Catalog) -> bytes:
    file = BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def main() -> None:
    catalog = collect()
    if PO.exists():
        for message in translations():
            if message.id in catalog and message.id:
                catalog[message.id].string = message.string
    PO.parent.mkdir(parents=True, exist_ok=True)
    with PO.open("wb") as file:
        write_po(file, catalog, width=120, sort_output=True)
    MO.write_bytes(compiled(catalog))
    missing = [message.id for message in catalog if message.id and not is_translated(message)]
    print(f"{len(catalog)} strings, {len(missing)} without a translation.", *missing, sep="\n  ")  # noqa: T201


if __name__ == "__main__":
    main()
