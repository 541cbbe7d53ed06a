"""Read a CSV file, with any common delimiter and in any encoding in which Excel saves it."""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import BinaryIO

from django.utils.translation import gettext as _

from devices.imports.files import header
from devices.imports.files.header import UnreadableFile
from devices.imports.files.xlsx_reader import MAX_COLUMNS

DELIMITERS = ",;\t|"
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
CP1252 = "cp1252"  # Excel writes it for “CSV” on a PC in Western Europe or Indonesia
CHUNK_SIZE = 64 * 1024  # bytes, or characters
MAX_RECORD = 2**20  # characters; all cells of a record are in memory at the same time


def encoding_of(file: BinaryIO) -> str:
    """Return the encoding of the byte-order mark. Without one, return UTF-8 if the file is valid, else Windows-1252.

    Raises:
        UnreadableFile: the file is not valid in any of them.
    """
    file.seek(0)
    head = file.read(CHUNK_SIZE)
    marked = [encoding for mark, encoding in BOMS.items() if head.startswith(mark)]
    for encoding in marked or ["utf-8", CP1252]:
        file.seek(0)
        with suppress(UnicodeDecodeError):
            for _text in codecs.iterdecode(iter(lambda: file.read(CHUNK_SIZE), b""), encoding):
                pass
            return encoding
    raise UnreadableFile(
        _("The file is neither XLSX nor text in a known encoding. Save it as XLSX, or as “CSV UTF-8”.")
    )


def records(file: BinaryIO, encoding: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each record, with the number of the line on which it begins, from 1.

    Raises:
        UnreadableFile: the file is not valid CSV, or a record is too long.
    """
    file.seek(0)
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    begins, length = 1, 0

    def limited_lines() -> Iterator[str]:
        nonlocal length
        while line := text.readline(MAX_RECORD + 1):
            length += len(line)
            if length > MAX_RECORD:
                raise UnreadableFile(_("The file is not a list of devices: row %(row)d is too long.") % {"row": begins})
            yield line

    try:
        delimiter = delimiter_of(text.read(CHUNK_SIZE).splitlines(keepends=True))
        text.seek(0)
        reader = csv.reader(limited_lines(), delimiter=delimiter, strict=True)
        for cells in reader:
            yield begins, cells
            begins, length = reader.line_num + 1, 0
    except csv.Error as error:
        raise UnreadableFile(
            _("The file is not valid CSV: %(error)s, near row %(row)d.") % {"error": error, "row": begins}
        ) from error
    finally:
        text.detach()


def delimiter_of(first: Sequence[str]) -> str:
    """Return the delimiter that finds the most known columns in one of the first lines."""

    def known_columns(delimiter: str) -> int:
        rows = csv.reader(first[: header.ROWS_SEARCHED], delimiter=delimiter)
        return header.count_known_columns([row[:MAX_COLUMNS] for row in rows])

    return max(DELIMITERS, key=known_columns)
