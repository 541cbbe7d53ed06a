"""Read and write lists of devices as CSV (delimited.py) or XLSX (workbooks.py), row by row.

The content of a file decides what it is, not its name.
"""

import csv
import io
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from django.utils.translation import gettext as _

from devices import cells, delimited, headings, workbooks
from devices.cells import MOST_TEXT, Spoilt
from devices.deadlines import Deadline
from devices.headings import COLUMNS, ID, Unreadable
from devices.workbooks import Line, Lines
from devices.xlsx_reader import MAX_COLUMNS

ENDINGS = (".csv", ".xlsx")
EXPORTED = (ID, *COLUMNS)
CHUNK = 64 * 1024  # characters
NEVER = Deadline(math.inf)


class Row(NamedTuple):
    """A line of the file: its number, from 1; its cells that are not empty, by column; what Excel spoilt of them."""

    number: int
    cells: dict[str, str]
    spoilt: dict[str, Spoilt]


@dataclass
class Sheet:
    """An open file: its rows, which can be read once while it is open, and notes about it."""

    rows: Iterator[Row]
    passed_over: tuple[str, ...]  # unknown headings
    has_holders: bool
    encoding: str | None  # of a text file


@contextmanager
def reading(file: BinaryIO, most: int | None = None, deadline: Deadline = NEVER) -> Iterator[Sheet]:
    """Open a seekable file and find its headings. Lines that are blank or repeat the headings are left out.

    Raises:
        Unreadable: also while rows are read: the format is unknown, a heading is missing, or there are more rows than
        `most`.
        Overdue: also while rows are read.
    """
    if workbooks.is_workbook(file):
        with workbooks.worksheets(file) as worksheets:
            yield _first_with_headings(worksheets, most, deadline)
    else:
        encoding = delimited.encoding_of(file)
        yield _sheet(delimited.lines(file, encoding), most, deadline, encoding)


def write(file: BinaryIO, ending: str, rows: Iterable[Sequence[str]], columns: Sequence[str] = EXPORTED) -> int:
    """Write the headings and the rows, escaped; return how many rows there were.

    Raises:
        Unreadable: there are more rows than a worksheet has.
    """
    if ending == ".xlsx":
        return workbooks.write(file, columns, map(cells.escaped_row, rows))
    counted = itertools.count()
    file.writelines(csv_chunks((row for row, _place in zip(rows, counted, strict=False)), columns))
    return next(counted)


def csv_chunks(rows: Iterable[Sequence[str]], columns: Sequence[str] = EXPORTED) -> Iterator[bytes]:
    """Give a CSV in pieces. It begins with a byte-order mark: without one, Excel reads Windows-1252."""
    buffer = io.StringIO("\ufeff")
    buffer.seek(0, io.SEEK_END)
    writer = csv.writer(buffer)
    for row in itertools.chain([columns], rows):
        writer.writerow(cells.escaped_row(row))
        if buffer.tell() > CHUNK:
            yield buffer.getvalue().encode()
            buffer = io.StringIO()
            writer = csv.writer(buffer)
    yield buffer.getvalue().encode()


def ending_of(name: str) -> str:
    """Return `.csv` or `.xlsx`, the ending of the file to write; `-` is CSV.

    Raises:
        Unreadable: it has another ending.
    """
    ending = ".csv" if name == "-" else Path(name).suffix.lower()
    if ending not in ENDINGS:
        raise Unreadable(_("%(name)s ends neither in .csv nor in .xlsx.") % {"name": name})
    return ending


def _first_with_headings(worksheets: Iterable[Lines], most: int | None, deadline: Deadline) -> Sheet:
    """Return the first worksheet that has the headings; a cover sheet may come before it.

    Raises:
        Unreadable: none has them; the message is about the first worksheet.
    """
    first: Unreadable | None = None
    for lines in worksheets:
        try:
            return _sheet(lines, most, deadline)
        except Unreadable as error:
            first = first or error
    raise first or Unreadable(_("The workbook has no worksheet."))


def _sheet(lines: Lines, most: int | None, deadline: Deadline, encoding: str | None = None) -> Sheet:
    cut = ((number, line[:MAX_COLUMNS]) for number, line in deadline.during(lines))
    filled: Lines = (line for line in cut if any(str(cell).strip() for cell in line[1]))
    first = list(itertools.islice(filled, headings.LINES_SEARCHED))
    if max((headings.known_in(list(map(_text, line))) for _number, line in first), default=0) < 2:
        first, filled = _divided(first, filled)
    found = headings.find([list(map(_text, line)) for _number, line in first])
    above = {tuple(line) for _number, line in first[: found.lines]}
    below = itertools.chain(first[found.lines :], filled)
    rows = _rows((line for line in below if tuple(line[1]) not in above), found.columns, most)
    return Sheet(rows, found.passed_over, "device_holder" in found.columns, encoding)


def _divided(first: list[Line], rest: Lines) -> tuple[list[Line], Lines]:
    """Divide lines that stand in one cell each, if that gives headings; else return them unchanged.

    Such is a CSV with commas that was saved by an Excel whose delimiter is a semicolon, as in Indonesia.
    """
    texts = [(number, text) for number, line in first if len((text := _text(line[0])).splitlines()) == 1]
    delimiter = delimited.delimiter_of([text for _number, text in texts])
    found = (headings.known_in(delimited.divided(text, delimiter, number)) for number, text in texts)
    if max(found, default=0) < 2:
        return first, rest

    def divide(line: Line) -> Line:
        whole = ";".join(map(cells.text_of, line[1])).rstrip(";")
        return line[0], delimited.divided(whole[:MOST_TEXT], delimiter, line[0])[:MAX_COLUMNS]

    return list(map(divide, first)), map(divide, rest)


def _rows(lines: Lines, columns: Sequence[str | None], most: int | None) -> Iterator[Row]:
    places = [(place, column) for place, column in enumerate(columns) if column]
    for count, (number, line) in enumerate(lines, start=1):
        if most is not None and count > most:
            raise Unreadable(_("The file has more than %(most)d devices. Divide it.") % {"most": most})
        row = Row(number, {}, {})
        for place, column in places:
            text, spoilt = cells.read(column, line[place] if place < len(line) else "")
            if text:
                row.cells[column] = text
            if spoilt:
                row.spoilt[column] = spoilt
        yield row


def _text(cell: object) -> str:
    """Return the cell's text without NUL, which PostgreSQL does not store."""
    return cells.text_of(cell)[:MOST_TEXT].replace("\0", "").strip()
