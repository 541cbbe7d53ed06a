"""Collect the strings to translate and compile the translations: `make messages`. Needs no gettext installed."""

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

APP = Path(__file__).resolve().parent.parent
PLACES = ("devices", "cexup")
PO = APP / "locale" / "id" / "LC_MESSAGES" / "django.po"
MO = PO.with_suffix(".mo")
FIXED = datetime(2026, 11, 23, tzinfo=UTC)
KEYWORDS = {**DEFAULT_KEYWORDS, "gettext_lazy": None, "ngettext_lazy": (1, 2)}
METHODS = [("tests/**", "ignore"), ("migrations/**", "ignore"), ("**.py", "python")]


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
    for place in PLACES:
        found = extract_from_dir(str(APP.parent / place), METHODS, keywords=KEYWORDS)
        for file, line, message, comments, context in found:
            catalog.add(message, None, [(f"{place}/{file}", line)], auto_comments=comments, context=context)
    return catalog


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
    missing = [message.id for message in catalog if message.id and not message.string]
    print(f"{len(catalog)} strings, {len(missing)} without a translation.", *missing, sep="\n  ")  # noqa: T201


if __name__ == "__main__":
    main()
