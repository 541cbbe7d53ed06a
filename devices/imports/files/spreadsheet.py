"""Read and write lists of devices as CSV (csv_file.py) or XLSX (xlsx_file.py), row by row.

The content of a file determines its format; the name does not matter.
"""

import codecs
import csv
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from django.utils.translation import gettext as _

from devices.imports.deadline import Deadline
from devices.imports.files import cells, csv_file, header, xlsx_file
from devices.imports.files.cells import MAX_TEXT, ExcelConversion
from devices.imports.files.header import COLUMNS, ID, Columns, UnreadableFile
from devices.imports.files.xlsx_file import SheetRow, SheetRows
from devices.imports.files.xlsx_reader import MAX_COLUMNS
from devices.values import csv_escaping

ENDINGS = (".csv", ".xlsx")
EXPORTED = (ID, *COLUMNS)
ROWS_PER_CHUNK = 500  # when a CSV is written
NEVER = Deadline(math.inf)


class Row(NamedTuple):
    """A row of the file."""

    number: int  # from 1
    cells: dict[str, str]  # the cells that are not empty, by column
    conversions: dict[str, ExcelConversion]  # the cells that Excel has converted, by column


@dataclass
class Sheet:
    """An open file. Its rows can be read once, while it is open."""

    rows: Iterator[Row]
    ignored_columns: list[str]
    has_hospitals: bool
    is_windows_1252: bool = False  # the encoding of a text file


@contextmanager
def open_sheet(file: BinaryIO, deadline: Deadline = NEVER) -> Iterator[Sheet]:
    """Open a seekable file and find its header. Skip blank rows and rows that repeat the header.

    Raises:
        UnreadableFile: the format is unknown, or a column is missing. Also raised while rows are read.
        DeadlineExceeded: also raised while rows are read.
    """
    if xlsx_file.is_workbook(file):
        with xlsx_file.worksheets(file) as worksheets:
            yield _first_with_header(map(deadline.during, worksheets))
    else:
        encoding = csv_file.encoding_of(file)
        sheet = _sheet(deadline.during(csv_file.records(file, encoding)))
        sheet.is_windows_1252 = encoding == csv_file.CP1252
        yield sheet


def write(file: BinaryIO, ending: str, rows: Iterable[Sequence[str]], columns: Sequence[str] = EXPORTED) -> int:
    """Write the column headers and the rows, escaped. Return the number of rows.

    Raises:
        UnreadableFile: there are more rows than a worksheet can have.
    """
    if ending == ".xlsx":
        return xlsx_file.write(file, columns, rows)
    counter = itertools.count()
    file.writelines(csv_chunks((row for row, _index in zip(rows, counter, strict=False)), columns))
    return next(counter)


class _Echo:
    """A file for csv.writer, whose `writerow` returns the result of `write`."""

    def write(self, text: str) -> str:
        return text


def csv_chunks(rows: Iterable[Sequence[str]], columns: Sequence[str] = EXPORTED) -> Iterator[bytes]:
    """Yield a CSV in chunks. It begins with a byte-order mark, because without one Excel reads Windows-1252."""
    writer = csv.writer(_Echo())
    lines = (writer.writerow(map(csv_escaping.escape, row)) for row in itertools.chain([columns], rows))
    yield codecs.BOM_UTF8
    while chunk := "".join(itertools.islice(lines, ROWS_PER_CHUNK)):
        yield chunk.encode()


def _first_with_header(worksheets: Iterable[SheetRows]) -> Sheet:
    """Return the first worksheet that has the required columns. A cover sheet can come before it.

    Raises:
        UnreadableFile: no worksheet has them. The message is about the first worksheet.
    """
    first: UnreadableFile | None = None
    for rows in worksheets:
        try:
            return _sheet(rows)
        except UnreadableFile as error:
            first = first or error
    raise first or UnreadableFile(_("The workbook has no worksheet."))


def _sheet(sheet_rows: SheetRows) -> Sheet:
    limited = ((number, row[:MAX_COLUMNS]) for number, row in sheet_rows)
    filled: SheetRows = (row for row in limited if any(str(cell).replace("\0", "").strip() for cell in row[1]))
    first = list(itertools.islice(filled, header.ROWS_SEARCHED))
    if header.count_known_columns(_texts(first)) < 2:
        first, filled = _split_cells(first, filled)
    texts = _texts(first)
    index, columns = header.find_header(texts)
    above = {tuple(row) for _number, row in first[: index + 1]}
    below = itertools.chain(first[index + 1 :], filled)
    ignored = [text for text, column in zip(texts[index], columns, strict=True) if text and not column]
    rows = _rows((row for row in below if tuple(row[1]) not in above), columns)
    return Sheet(rows, ignored, "device_holder" in columns)


def _split_cells(first: list[SheetRow], rest: SheetRows) -> tuple[list[SheetRow], SheetRows]:
    """Split rows that have all of their text in one cell, if the result has a header; otherwise return them unchanged.

    Excel makes such a file from a CSV with commas if its delimiter is a semicolon, as in Indonesia.
    """
    delimiter = csv_file.delimiter_of([_joined(row) for _number, row in first])

    def split(row: SheetRow) -> SheetRow:
        return row[0], next(csv.reader([_joined(row[1])], delimiter=delimiter), [])[:MAX_COLUMNS]

    split_first = list(map(split, first))
    return (split_first, map(split, rest)) if header.count_known_columns(_texts(split_first)) >= 2 else (first, rest)


def _joined(row: Sequence[object]) -> str:
    """Return the row as it was before Excel split it at semicolons."""
    return " ".join(";".join(map(cells.text_of, row)).rstrip(";")[:MAX_TEXT].splitlines())


def _texts(rows: Iterable[SheetRow]) -> list[list[str]]:
    """Return the texts of the cells without NUL, which PostgreSQL does not store."""
    return [[cells.text_of(cell)[:MAX_TEXT].replace("\0", "").strip() for cell in row] for _number, row in rows]


def _rows(rows: SheetRows, columns: Columns) -> Iterator[Row]:
    fields = [(index, column) for index, column in enumerate(columns) if column]
    for number, values in rows:
        row = Row(number, {}, {})
        for index, column in fields:
            text, conversion = cells.read_cell(column, values[index] if index < len(values) else "")
            if text:
                row.cells[column] = text
            if conversion:
                row.conversions[column] = conversion
        yield row
