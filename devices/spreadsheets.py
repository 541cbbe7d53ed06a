"""Read and write fleets as CSV or XLSX, line by line, whatever their length.

A cell that begins like a formula is written with an apostrophe before it, since a spreadsheet program would run it,
and read back without. https://owasp.org/www-community/attacks/CSV_Injection
"""

import csv
import io
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import BinaryIO
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

COLUMNS = ("device_name", "device_mac", "device_type", "device_holder")
# The field's spreadsheet calls a device's name its ID. Beside a device_name, an id is the registry's own.
FIELD_HEADINGS = {"id": "device_name", "mac": "device_mac", "type": "device_type", "holder": "device_holder"}
REQUIRED = COLUMNS[:3]
FORMULA = ("=", "+", "-", "@", "\t", "\r")
DELIMITERS = ",;\t"

Row = tuple[int, dict[str, str]]


class Unreadable(Exception):
    """The file cannot be read as a list of devices; the message says why."""


def read(file: BinaryIO, ending: str) -> Generator[Row, None, None]:
    """Give each line that is not blank: its number in the file, from 1, and its cells by our column names.

    A cell that is empty is left out. Columns that are not a device's are passed over.

    Raises:
        Unreadable: it is no CSV in UTF-8 and no XLSX, or a heading is missing.
    """
    lines = _read_xlsx(file) if ending == ".xlsx" else _read_csv(file)
    columns: list[str | None] | None = None
    with closing(lines):
        for number, cells in lines:
            if not any(cells):
                continue
            if columns is None:
                columns = _columns(cells)
                continue
            yield number, {column: cell for column, cell in zip(columns, cells, strict=False) if column and cell}
    if columns is None:
        raise Unreadable("The file is empty. Its first line must have the headings: " + ", ".join(COLUMNS) + ".")


def write(file: BinaryIO, ending: str, rows: Iterable[Iterable[str]]) -> int:
    """Write the headings and the rows, each with the cells of COLUMNS; return how many rows there were."""
    return _write_xlsx(file, rows) if ending == ".xlsx" else _write_csv(file, rows)


def _columns(headings: list[str]) -> list[str | None]:
    names = [heading.strip().casefold() for heading in headings]
    known = dict.fromkeys(COLUMNS) | FIELD_HEADINGS if "device_name" not in names else dict.fromkeys(COLUMNS)
    columns = [known.get(name) or (name if name in COLUMNS else None) for name in names]
    if missing := [column for column in REQUIRED if column not in columns]:
        raise Unreadable(
            f"The first line has no heading {', '.join(missing)}. "
            f"It must have {', '.join(COLUMNS)}; or ID, MAC, TYPE, HOLDER. It has: {', '.join(headings)}."
        )
    if twice := sorted({column for column in columns if column and columns.count(column) > 1}):
        raise Unreadable(f"The first line has more than one heading for {', '.join(twice)}.")
    return columns


def _read_csv(file: BinaryIO) -> Generator[tuple[int, list[str]], None, None]:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        first = text.readline()
        delimiter = max(DELIMITERS, key=first.count)
        yield 1, next(csv.reader([first], delimiter=delimiter), [])
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        for cells in reader:
            yield reader.line_num + 1, [_unescaped(cell) for cell in cells]
    except UnicodeDecodeError as error:
        raise Unreadable("The file is not in UTF-8. Save it as “CSV UTF-8”, or as XLSX.") from error
    except csv.Error as error:
        raise Unreadable(f"The file is no CSV: {error}, near line {reader.line_num + 1}.") from error
    finally:
        text.detach()


def _read_xlsx(file: BinaryIO) -> Generator[tuple[int, list[str]], None, None]:
    try:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        with closing(book):
            for number, cells in enumerate(book.worksheets[0].iter_rows(values_only=True), start=1):
                yield number, [_unescaped(_text(cell)) for cell in cells]
    except (BadZipFile, InvalidFileException, ParseError, KeyError, IndexError, OSError, ValueError) as error:
        raise Unreadable("The file is no XLSX workbook, or a damaged one.") from error


def _write_csv(file: BinaryIO, rows: Iterable[Iterable[str]]) -> int:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer, count = csv.writer(text), 0
    writer.writerow(COLUMNS)
    for count, row in enumerate(rows, start=1):  # noqa: B007  (count is what is returned)
        writer.writerow(map(_escaped, row))
    text.flush()
    text.detach()
    return count


def _write_xlsx(file: BinaryIO, rows: Iterable[Iterable[str]]) -> int:
    book, count = openpyxl.Workbook(write_only=True), 0
    sheet = book.create_sheet("Devices")
    sheet.append(COLUMNS)
    for count, row in enumerate(rows, start=1):  # noqa: B007
        sheet.append([_escaped(cell) for cell in row])
    book.save(file)
    return count


def _text(cell: object) -> str:
    """Return a cell's text; a whole number without the point that the spreadsheet gave it."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _escaped(cell: str) -> str:
    return f"'{cell}" if cell.startswith((*FORMULA, "'")) else cell


def _unescaped(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith((*FORMULA, "'")) else cell


def ending_of(name: str) -> str:
    """Return `.csv` or `.xlsx`, by the file's ending; `-` is CSV.

    Raises:
        Unreadable: it has another.
    """
    ending = ".csv" if name == "-" else Path(name).suffix.lower()
    if ending not in (".csv", ".xlsx"):
        raise Unreadable(f"{name} ends neither in .csv nor in .xlsx.")
    return ending
