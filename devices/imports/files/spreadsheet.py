"""Read and write lists of devices as CSV (csv_file.py) or XLSX (xlsx_file.py), row by row.

The content of a file decides what it is, not its name.
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
from devices.imports.files.xlsx_file import Line, Lines
from devices.imports.files.xlsx_reader import MAX_COLUMNS
from devices.values import csv_escaping

ENDINGS = (".csv", ".xlsx")
EXPORTED = (ID, *COLUMNS)
ROWS_AT_ONCE = 500  # of a CSV that is written
NEVER = Deadline(math.inf)


class Row(NamedTuple):
    """A line of the file: its number, from 1; its cells that are not empty, by column; what Excel spoilt of them."""

    number: int
    cells: dict[str, str]
    spoilt: dict[str, ExcelConversion]


@dataclass
class Sheet:
    """An open file: its rows, which can be read once while it is open, and notes about it."""

    rows: Iterator[Row]
    passed_over: list[str]  # unknown headings
    has_holders: bool
    is_windows: bool = False  # a text file in Windows-1252


@contextmanager
def open_sheet(file: BinaryIO, deadline: Deadline = NEVER) -> Iterator[Sheet]:
    """Open a seekable file and find its headings. Lines that are blank or repeat the headings are left out.

    Raises:
        UnreadableFile: also while rows are read: the format is unknown, or a heading is missing.
        Overdue: also while rows are read.
    """
    if xlsx_file.is_workbook(file):
        with xlsx_file.worksheets(file) as worksheets:
            yield _first_with_headings(map(deadline.during, worksheets))
    else:
        encoding = csv_file.encoding_of(file)
        sheet = _sheet(deadline.during(csv_file.lines(file, encoding)))
        sheet.is_windows = encoding == csv_file.CP1252
        yield sheet


def write(file: BinaryIO, ending: str, rows: Iterable[Sequence[str]], columns: Sequence[str] = EXPORTED) -> int:
    """Write the headings and the rows, escaped; return how many rows there were.

    Raises:
        UnreadableFile: there are more rows than a worksheet has.
    """
    if ending == ".xlsx":
        return xlsx_file.write(file, columns, rows)
    counted = itertools.count()
    file.writelines(csv_chunks((row for row, _place in zip(rows, counted, strict=False)), columns))
    return next(counted)


class _Echo:
    """A file for csv.writer, whose `writerow` returns what `write` returns."""

    def write(self, text: str) -> str:
        return text


def csv_chunks(rows: Iterable[Sequence[str]], columns: Sequence[str] = EXPORTED) -> Iterator[bytes]:
    """Give a CSV in pieces. It begins with a byte-order mark: without one, Excel reads Windows-1252."""
    writer = csv.writer(_Echo())
    lines = (writer.writerow(map(csv_escaping.escape, row)) for row in itertools.chain([columns], rows))
    yield codecs.BOM_UTF8
    while chunk := "".join(itertools.islice(lines, ROWS_AT_ONCE)):
        yield chunk.encode()


def _first_with_headings(worksheets: Iterable[Lines]) -> Sheet:
    """Return the first worksheet that has the headings; a cover sheet may come before it.

    Raises:
        UnreadableFile: none has them; the message is about the first worksheet.
    """
    first: UnreadableFile | None = None
    for lines in worksheets:
        try:
            return _sheet(lines)
        except UnreadableFile as error:
            first = first or error
    raise first or UnreadableFile(_("The workbook has no worksheet."))


def _sheet(lines: Lines) -> Sheet:
    cut = ((number, line[:MAX_COLUMNS]) for number, line in lines)
    filled: Lines = (line for line in cut if any(str(cell).replace("\0", "").strip() for cell in line[1]))
    first = list(itertools.islice(filled, header.LINES_SEARCHED))
    if header.count_known_columns(_texts(first)) < 2:
        first, filled = _split_cells(first, filled)
    texts = _texts(first)
    index, columns = header.find_header(texts)
    above = {tuple(line) for _number, line in first[: index + 1]}
    below = itertools.chain(first[index + 1 :], filled)
    rows = _rows((line for line in below if tuple(line[1]) not in above), columns)
    passed_over = [text for text, column in zip(texts[index], columns, strict=True) if text and not column]
    return Sheet(rows, passed_over, "device_holder" in columns)


def _split_cells(first: list[Line], rest: Lines) -> tuple[list[Line], Lines]:
    """Divide lines that stand in one cell each, if that gives headings; else return them unchanged.

    Such is a CSV with commas that was saved by an Excel whose delimiter is a semicolon, as in Indonesia.
    """
    delimiter = csv_file.delimiter_of([_whole(line) for _number, line in first])

    def divide(line: Line) -> Line:
        return line[0], next(csv.reader([_whole(line[1])], delimiter=delimiter), [])[:MAX_COLUMNS]

    divided = list(map(divide, first))
    return (divided, map(divide, rest)) if header.count_known_columns(_texts(divided)) >= 2 else (first, rest)


def _whole(line: Sequence[object]) -> str:
    """Return the line as it was before Excel divided it at semicolons."""
    return " ".join(";".join(map(cells.text_of, line)).rstrip(";")[:MAX_TEXT].splitlines())


def _texts(lines: Iterable[Line]) -> list[list[str]]:
    """Return the texts of the cells without NUL, which PostgreSQL does not store."""
    return [[cells.text_of(cell)[:MAX_TEXT].replace("\0", "").strip() for cell in line] for _number, line in lines]


def _rows(lines: Lines, columns: Columns) -> Iterator[Row]:
    places = [(place, column) for place, column in enumerate(columns) if column]
    for number, line in lines:
        row = Row(number, {}, {})
        for place, column in places:
            text, spoilt = cells.read_cell(column, line[place] if place < len(line) else "")
            if text:
                row.cells[column] = text
            if spoilt:
                row.spoilt[column] = spoilt
        yield row
