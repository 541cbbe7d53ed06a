"""Read and write lists of devices as CSV (csv_file.py) or XLSX (xlsx_file.py), row by row.

The content of a file determines its format; the name does not matter.
"""

import codecs
import csv
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from django.utils.translation import gettext as _

from devices.imports.deadline import Deadline
from devices.imports.files import cells, csv_file, file_kinds, header, xlsx_file
from devices.imports.files.cells import MAX_TEXT, ExcelConversion
from devices.imports.files.header import COLUMNS, ID, Columns, NoHeader, UnreadableFile
from devices.imports.files.sheet_rows import NumberInSheet, SheetRow, SheetRows
from devices.imports.files.xlsx_file import Worksheet
from devices.imports.files.xlsx_reader import MAX_COLUMNS
from devices.values import csv_escaping

ENDINGS = (".csv", ".xlsx")
EXPORTED = (ID, *COLUMNS)
ROWS_PER_CHUNK = 500  # when a CSV is written
NEVER = Deadline(math.inf)


class Row(NamedTuple):
    """A row of the file."""

    number: int  # from 1; a NumberInSheet if the workbook has several worksheets
    cells: dict[str, str]  # the cells that are not empty, by column
    conversions: dict[str, ExcelConversion]  # the cells that Excel has converted, by column


@dataclass
class Sheet:
    """An open file. Its rows can be read once, while it is open.

    After the rows are read, the other values are complete: they describe all worksheets of a workbook.
    """

    rows: Iterator[Row] = field(default_factory=lambda: iter(()))
    ignored_columns: list[str] = field(default_factory=list)
    has_hospitals: bool = False
    is_windows_1252: bool = False  # the encoding of a text file
    sheets: list[str] = field(default_factory=list)  # the worksheets that are read, if the workbook has several
    ignored_sheets: list[str] = field(default_factory=list)  # worksheets without column headers
    hidden_sheets: list[str] = field(default_factory=list)  # worksheets that are not read
    hidden_rows: int = 0  # hidden rows and columns are read
    hidden_columns: list[str] = field(default_factory=list)


@contextmanager
def open_sheet(file: BinaryIO, deadline: Deadline = NEVER) -> Iterator[Sheet]:
    """Open a seekable file and find its header. Skip blank rows and rows that repeat the header.

    Of a workbook, all visible worksheets that have a header are read, one after the other.

    Raises:
        UnreadableFile: the format is unknown, or a column is missing. Also raised while rows are read.
        DeadlineExceeded: also raised while rows are read.
    """
    sheet = Sheet()
    if xlsx_file.is_workbook(file):
        with xlsx_file.worksheets(file) as worksheets:
            tables = _tables(worksheets, sheet, deadline)
            sheet.rows = itertools.chain(next(tables), itertools.chain.from_iterable(tables))
            yield sheet
    else:
        encoding = csv_file.encoding_of(file)
        sheet.is_windows_1252 = encoding == csv_file.CP1252
        try:
            table = _table(deadline.during(csv_file.records(file, encoding)), is_typed=False)
        except NoHeader as error:
            if not csv_file.begins_like_text(file, encoding):
                raise UnreadableFile(str(file_kinds.NOT_TEXT)) from error
            raise
        sheet.rows = _rows(table, sheet)
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


class _Table(NamedTuple):
    """The rows below a header, the field of each column, and the header's text for each ignored one."""

    rows: SheetRows
    columns: Columns
    texts: list[str]
    is_typed: bool  # the file says which cells are texts


def _tables(worksheets: Iterable[Worksheet], sheet: Sheet, deadline: Deadline) -> Iterator[Iterator[Row]]:
    """Yield the rows of each visible worksheet that has a header, and add to the description of the file.

    Raises:
        UnreadableFile: no worksheet has a header, or a header has an error.
    """
    failures, found = list[NoHeader](), 0
    for worksheet in worksheets:
        if worksheet.is_hidden:
            sheet.hidden_sheets.append(worksheet.name)
            continue
        is_one_of_several = worksheet.filled > 1
        try:
            table = _table(deadline.during(worksheet.rows), is_typed=True)
        except UnreadableFile as error:
            if isinstance(error, NoHeader) and not (error.known > 1 and error.is_misspelled):
                failures.append(error)
                if error.known >= 0:
                    sheet.ignored_sheets.append(worksheet.name)
                continue
            raise _of_sheet(error, worksheet) if is_one_of_several else error from error
        if is_one_of_several:
            sheet.sheets.append(worksheet.name)
        yield _rows(table, sheet, worksheet, found)
        found += 1
    if found:
        return
    if failures:
        raise max(failures, key=lambda error: error.known)
    raise UnreadableFile(_("The workbook has no worksheet. Hidden ones are not read."))


def _of_sheet(error: UnreadableFile, worksheet: Worksheet) -> UnreadableFile:
    return UnreadableFile(_("Worksheet “%(sheet)s”: %(error)s") % {"sheet": worksheet.name, "error": error})


def _table(rows: SheetRows, *, is_typed: bool) -> _Table:
    filled = (row for row in rows if any(str(cell).replace("\0", "").strip() for cell in row.cells))
    first = list(itertools.islice(filled, header.ROWS_SEARCHED))
    if header.count_known_columns(_texts(first)) < 2:
        split_first, split_rows = _split_cells(first, rows)
        is_typed = is_typed and split_first is first
        first, rows = split_first, split_rows
    texts = _texts(first)
    index, columns = header.find_header(texts)
    above = {tuple(row.cells) for row in first[: index + 1]}
    below = itertools.chain(first[index + 1 :], rows)
    return _Table((row for row in below if tuple(row.cells) not in above), columns, texts[index], is_typed)


def _split_cells(first: list[SheetRow], rest: SheetRows) -> tuple[list[SheetRow], SheetRows]:
    """Split rows that have all of their text in one cell, if the result has a header; otherwise return them unchanged.

    Excel makes such a file from a CSV with commas if its delimiter is a semicolon, as in Indonesia.
    """
    delimiter = csv_file.delimiter_of([_joined(row.cells) for row in first])

    def split(row: SheetRow) -> SheetRow:
        values = next(csv.reader([_joined(row.cells)], delimiter=delimiter), [])
        return row._replace(cells=values[:MAX_COLUMNS], merged={})

    split_first = list(map(split, first))
    return (split_first, map(split, rest)) if header.count_known_columns(_texts(split_first)) >= 2 else (first, rest)


def _joined(row: Sequence[object]) -> str:
    """Return the row as it was before Excel split it at semicolons."""
    return " ".join(";".join(map(cells.text_of, row)).rstrip(";")[:MAX_TEXT].splitlines())


def _texts(rows: Iterable[SheetRow]) -> list[list[str]]:
    """Return the texts of the cells without NUL, which PostgreSQL does not store. Merged cells have their text."""
    return [
        [
            cells.text_of(row.merged.get(index, cell) if cell == "" else cell)[:MAX_TEXT].replace("\0", "").strip()
            for index, cell in enumerate(row.cells)
        ]
        for row in rows
    ]


def _rows(table: _Table, sheet: Sheet, worksheet: Worksheet | None = None, index: int = 0) -> Iterator[Row]:
    """Return the rows that have a value in a known column, and add to the description of the file.

    A row that only has the value of cells merged from a row above is blank.
    """
    named = list(zip(table.texts, table.columns, strict=True))
    new = [text for text, column in named if text and not column and text not in sheet.ignored_columns]
    sheet.ignored_columns += new
    sheet.has_hospitals = sheet.has_hospitals or "device_holder" in table.columns
    for place in worksheet.hidden_columns if worksheet else ():
        if place < len(named) and named[place][1] and named[place][0] not in sheet.hidden_columns:
            sheet.hidden_columns.append(named[place][0])
    return _read_rows(table, sheet, worksheet.name if worksheet and worksheet.filled > 1 else None, index)


def _read_rows(table: _Table, sheet: Sheet, name: str | None, index: int) -> Iterator[Row]:
    fields, is_typed = [(place, column) for place, column in enumerate(table.columns) if column], table.is_typed
    for number, values, is_hidden, merged in table.rows:
        row = Row(number if name is None else NumberInSheet.of(index, name, number), {}, {})
        length = len(values)
        for place, column in fields:
            if place < length:
                _read_cell(row, column, values[place], is_typed=is_typed)
        if not row.cells and not row.conversions:
            continue
        for place, column in fields if merged else ():
            is_header = str(merged.get(place, "")).strip() == table.texts[place]
            if place in merged and not is_header and column not in row.cells and column not in row.conversions:
                _read_cell(row, column, merged[place], is_typed=is_typed)
        sheet.hidden_rows += is_hidden
        yield row


def _read_cell(row: Row, column: str, value: object, *, is_typed: bool) -> None:
    if value == "":
        return
    text, conversion = cells.read_cell(column, value, is_typed=is_typed)
    if text:
        row.cells[column] = text
    if conversion:
        row.conversions[column] = conversion
