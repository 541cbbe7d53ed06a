"""Collect the translatable strings, and compile the translations: `make messages`. GNU gettext is not necessary."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import axes
import django
import unfold
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir, extract_python
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.contrib import admin, auth
from django.utils.translation.template import templatize
from unfold.contrib import filters

ROOT = Path(__file__).resolve().parents[2]
PO = ROOT / "devices/locale/id/LC_MESSAGES/django.po"
MO = PO.with_suffix(".mo")
FIXED_DATE = datetime(2026, 11, 23, tzinfo=UTC)
HEADER = "# Indonesian translations of the device registry. `make messages` updates and compiles this file."

KEYWORDS = {**DEFAULT_KEYWORDS, "gettext_lazy": None, "ngettext_lazy": (1, 2)}
METHODS = [("**.py", "python"), ("**.html", f"{__package__}.messages:extract_template")]
OWN = [ROOT / folder for folder in ("devices", "cexup", "templates")]

# Libraries whose strings the admin shows. Strings that Django and axes translate to Indonesian are omitted.
LIBRARIES = [Path(str(package.__file__)).parent for package in (unfold, filters, axes)]
TRANSLATED = [Path(str(package.__file__)).parent / "locale" for package in (admin, auth, axes)]
TRANSLATED += [Path(django.__file__).parent / "conf/locale"]

# Strings of Django whose Indonesian is ours: Django's has mistakes, or other terms than the rest of the admin.
OVERRIDDEN: list[str | tuple[str, str]] = [
    "Change history: %s",
    "Change my password",
    "Enter a number.",
    "Enter a valid integer.",
    "New password",
    "New password confirmation",
    "Old password",
    "Password",
    "Password change",
    "Password change successful",
    "Please enter a correct %(username)s and password. Note that both fields may be case-sensitive.",
    "Please enter the correct %(username)s and password for a staff account. Note that both fields may be "
    "case-sensitive.",
    "Please enter your new password twice so we can verify you typed it in correctly.",
    "Please enter your old password, for security’s sake, and then enter your new password twice so we can verify "
    "you typed it in correctly.",
    "The two password fields didn’t match.",
    "Your old password was entered incorrectly. Please enter it again.",
    "Your password can’t be a commonly used password.",
    "Your password can’t be entirely numeric.",
    "Your password can’t be too similar to your other personal information.",
    "password",
    ("%(counter)s result", "%(counter)s results"),
    ("%(size)d byte", "%(size)d bytes"),
    ("Please correct the error below.", "Please correct the errors below."),
]
SKIPPED = {"tests", "migrations", "locale", "contrib", "unfold_crispy"}  # subfolders with these names


def collect() -> Catalog:
    """Return a catalog of all marked strings, without translations."""
    options: dict[str, Any] = {"header_comment": HEADER, "project": "cexup device registry", "fuzzy": False}
    catalog = Catalog("id", creation_date=FIXED_DATE, **options)  # the current date would change the file with each run
    catalog.revision_date = FIXED_DATE
    for message, context in _marked(OWN):
        catalog.add(message, context=context)
    for overridden in OVERRIDDEN:
        catalog.add(overridden)
    known = translated_by_libraries()
    for message, context in _marked(LIBRARIES):
        if _singular(message) not in known:
            catalog.add(message, context=context)
    return catalog


def _marked(folders: Iterable[Path]) -> Iterator[tuple[Any, str | None]]:
    """Yield each string that Python or a template marks for translation, with its context."""
    for folder in folders:
        found = extract_from_dir(
            folder, METHODS, keywords=KEYWORDS, directory_filter=lambda path: Path(path).name not in SKIPPED
        )
        for _file, _line, message, _comments, context in found:
            yield message, context


def extract_template(file: BinaryIO, keywords: Any, comment_tags: Any, options: Any) -> Iterator[Any]:
    """Extract the strings of a Django template for Babel: Django converts it to Python that calls gettext."""
    lines = templatize(file.read().decode()).splitlines()
    return extract_python(BytesIO("\n".join(map(str.strip, lines)).encode()), keywords, comment_tags, options)


def translated_by_libraries() -> set[str]:
    """Return the strings that Django and axes translate to Indonesian."""
    catalogs = (_read(folder / "id/LC_MESSAGES/django.po") for folder in TRANSLATED)
    return {_singular(message.id) for catalog in catalogs for message in catalog if message.string}


def _singular(message: Any) -> str:
    return str(message if isinstance(message, str) else message[0])


def is_translated(message: Message) -> bool:
    """Return whether the message and its plural have a translation."""
    return all(message.string if isinstance(message.string, tuple) else [message.string])


def translations() -> Catalog:
    """Return the catalog of django.po."""
    return _read(PO)


def _read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale="id")


def compiled(catalog: Catalog) -> bytes:
    """Return the content of django.mo."""
    file = BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def main() -> None:
    """Update django.po and django.mo, and print the strings without a translation."""
    catalog = translations()
    catalog.update(collect(), no_fuzzy_matching=True)
    with PO.open("wb") as file:
        write_po(file, catalog, width=120, sort_output=True, ignore_obsolete=True)
    MO.write_bytes(compiled(catalog))
    missing = [message.id for message in catalog if message.id and not is_translated(message)]
    print(f"{len(catalog)} strings, {len(missing)} without a translation.", *missing, sep="\n  ")  # noqa: T201


if __name__ == "__main__":
    main()
