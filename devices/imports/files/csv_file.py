"""Read a CSV file, with any common delimiter and in any encoding in which Excel saves it."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import BinaryIO

from django.utils.translation import gettext as _

from devices.imports.files import file_kinds, header
from devices.imports.files.header import UnreadableFile
from devices.imports.files.sheet_rows import SheetRow, SheetRows
from devices.imports.files.xlsx_reader import MAX_COLUMNS

DELIMITERS = ",;\t|"
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
CP1252 = "cp1252"  # Excel writes it for “CSV” on a PC in Western Europe or Indonesia
CHUNK_SIZE = 64 * 1024  # bytes, or characters
MAX_RECORD = 2**20  # characters; all cells of a record are in memory at the same time
# Old programs fill a file or a field with NUL, and end a file with 0x1A. Files that were joined have byte-order marks.
PADDING = "\0\x1a\ufeff"
_UTF_16 = {re.compile(rb"(?:[^\0]\0){16}"): "utf-16-le", re.compile(rb"(?:\0[^\0]){16}"): "utf-16-be"}
_TEXT_FORMULA = re.compile(r'\s*="((?:[^"]|"")*)"\s*')  # programs write ="0012" so that Excel keeps the zeros


def encoding_of(file: BinaryIO) -> str:
    """Return the encoding of the byte-order mark. Without one, return UTF-16 if the file begins like it, UTF-8 if the
    file is valid, else Windows-1252.

    Raises:
        UnreadableFile: the file is not valid in any of them, or begins like something else than text.
    """
    file.seek(0)
    head = file.read(CHUNK_SIZE)
    if reason := file_kinds.reason(head):
        raise UnreadableFile(str(reason))
    marked = [encoding for mark, encoding in BOMS.items() if head.startswith(mark)]
    unmarked = [encoding for pattern, encoding in _UTF_16.items() if pattern.match(head)]
    for encoding in marked or [*unmarked, "utf-8", CP1252]:
        file.seek(0)
        with suppress(UnicodeDecodeError):
            for _text in codecs.iterdecode(iter(lambda: file.read(CHUNK_SIZE), b""), encoding):
                pass
            return encoding
    raise UnreadableFile(str(file_kinds.NOT_TEXT))


def begins_like_text(file: BinaryIO, encoding: str) -> bool:
    file.seek(0)
    return not file_kinds.is_binary(file.read(CHUNK_SIZE).decode(encoding, "ignore"))


def records(file: BinaryIO, encoding: str) -> SheetRows:
    """Yield the cells of each record, with the number of the line on which it begins, from 1.

    Raises:
        UnreadableFile: the file is not valid CSV, or a record is too long.
    """
    file.seek(0)
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    begins, length, is_unusual = 1, 0, False

    def limited_lines() -> Iterator[str]:
        nonlocal length, is_unusual
        while line := text.readline(MAX_RECORD + 1):
            length += len(line)
            if length > MAX_RECORD:
                raise UnreadableFile(_("The file is not a list of devices: row %(row)d is too long.") % {"row": begins})
            if '="' in line:
                is_unusual = True
            if "\0" in line or "\x1a" in line or "\ufeff" in line:
                is_unusual, content = True, line.rstrip("\r\n")
                line = content.strip(PADDING) + line[len(content) :]
            yield line

    try:
        delimiter = delimiter_of(text.read(CHUNK_SIZE).splitlines(keepends=True))
        text.seek(0)
        reader = csv.reader(limited_lines(), delimiter=delimiter, strict=True)
        for cells in reader:
            if is_unusual:
                cells = [_plain(cell) for cell in cells]
            yield SheetRow(begins, cells[:MAX_COLUMNS])
            begins, length, is_unusual = reader.line_num + 1, 0, False
    except csv.Error as error:
        raise UnreadableFile(
            _("The file is not valid CSV: %(error)s, near row %(row)d.") % {"error": error, "row": begins}
        ) from error
    finally:
        text.detach()


def _plain(cell: str) -> str:
    """Return the cell without padding, and the text of a formula that is only a text."""
    cell = cell.strip(PADDING)
    formula = _TEXT_FORMULA.fullmatch(cell)
    return formula[1].replace('""', '"') if formula else cell


def delimiter_of(first: Sequence[str]) -> str:
    """Return the delimiter that finds the most known columns in one of the first lines."""

    def known_columns(delimiter: str) -> int:
        rows = csv.reader(first[: header.ROWS_SEARCHED], delimiter=delimiter)
        return header.count_known_columns([row[:MAX_COLUMNS] for row in rows])

    return max(DELIMITERS, key=known_columns)
