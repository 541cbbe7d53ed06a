"""Read an XLSX workbook in a separate process with limits (xlsx_reader.py), and write one row by row."""

import itertools
import math
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from operator import itemgetter
from subprocess import DEVNULL, PIPE, Popen
from typing import Any, BinaryIO, NamedTuple

import orjson
import xlsxwriter
from django.utils.translation import gettext_lazy as _
from xlsxwriter.exceptions import FileCreateError

from devices.imports.files import xlsx_package, xlsx_reader
from devices.imports.files.cells import Date, FormattedNumber
from devices.imports.files.file_kinds import MESSAGES
from devices.imports.files.header import UnreadableFile
from devices.imports.files.sheet_rows import SheetRow, SheetRows
from devices.values.csv_escaping import escape

ZIP = b"PK\x03\x04"
EMPTY_ZIP = b"PK\x05\x06"
MAX_ROWS = xlsx_reader.MAX_ROWS
MAX_MEMORY = 512 * 2**20  # bytes of address space of the process that reads a workbook
MAX_CPU_SECONDS = 20  # of the same process
TEXT_FORMAT = "@"  # Excel does not convert the content of a cell with this format
WIDTHS = {"id": 10, "device_mac": 24, "device_type": 14}  # in characters; 30 for other columns
_ESCAPES = re.compile("(?<=_)(?=x[0-9a-fA-F]{4}_)")
_OVERLAP = re.compile("_x[0-9a-fA-F]{4}_x[0-9a-fA-F]{4}_")


class Worksheet(NamedTuple):
    """A worksheet. Its rows must be read before the next worksheet. Those of a hidden one are not read."""

    name: str
    is_hidden: bool
    filled: int  # the number of visible worksheets of the workbook that have values
    rows: SheetRows
    hidden_columns: list[int]  # from 0


def is_workbook(file: BinaryIO) -> bool:
    """Return whether the file begins like a workbook, in XLSX or in an older format."""
    file.seek(0)
    return file.read(8).startswith((ZIP, EMPTY_ZIP, xlsx_package.OLE))


@contextmanager
def worksheets(file: BinaryIO) -> Iterator[Iterator[Worksheet]]:
    """Yield the worksheets.

    Raises:
        UnreadableFile: with one of MESSAGES. Also raised while the rows are read.
    """
    command = [sys.executable, "-I", xlsx_reader.__file__, str(MAX_MEMORY), str(MAX_CPU_SECONDS)]
    with Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}) as reader:  # noqa: S603  (no input in it)
        try:
            file.seek(0)
            with suppress(BrokenPipeError), reader.stdin as pipe:  # type: ignore[union-attr]  # _received raises the reason
                shutil.copyfileobj(file, pipe)
            yield (_worksheet(lines) for _index, lines in itertools.groupby(_received(reader), key=itemgetter(0)))
        finally:
            reader.kill()


def _worksheet(lines: Iterator[list[Any]]) -> Worksheet:
    _index, _row, pairs = next(lines)
    about = dict(pairs)
    rows = _rows(lines, about.get("merged", ()))
    return Worksheet(
        about.get("name", ""),
        about.get("is_hidden", False),
        about.get("filled", 1),
        rows,
        about.get("hidden_columns", []),
    )


def _rows(lines: Iterator[list[Any]], merged: Sequence[tuple[int, int, int]]) -> SheetRows:
    """Yield the rows. Those within a block of merged cells get its value, as Excel shows it."""
    if not merged:
        for _index, number, values, *hidden in lines:
            yield SheetRow(number, values, bool(hidden))
        return
    blocks, values_of = iter(sorted(merged)), dict[int, tuple[int, object]]()  # by column: the last row and the value
    following = next(blocks, None)
    for _index, number, values, *hidden in lines:
        values_of = {column: block for column, block in values_of.items() if number <= block[0]}
        yield SheetRow(number, values, bool(hidden), {column: value for column, (_last, value) in values_of.items()})
        while following and following[0] <= number:
            first, last, column = following
            if first == number and column < len(values) and values[column] != "":
                values_of[column] = last, values[column]
            following = next(blocks, None)


def write(file: BinaryIO, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Write the column headers and the rows, escaped, and format all cells as text. Return the number of rows.

    Raises:
        UnreadableFile: there are more rows than a worksheet can have.
        OSError: the file or a temporary file cannot be written.
    """
    with _workbook(file) as book:
        text = book.add_format({"num_format": TEXT_FORMAT})
        sheet = book.add_worksheet("Devices")
        sheet.freeze_panes(1, 0)
        for index, column in enumerate(columns):
            sheet.set_column(index, index, WIDTHS.get(column, 30), text)
        for count, row in enumerate(itertools.chain([columns], rows)):
            if count == MAX_ROWS:
                raise UnreadableFile(
                    _("A worksheet has room for %(most)d devices. Choose CSV.") % {"most": MAX_ROWS - 1}
                )
            for index, cell in enumerate(map(escape, row)):
                if len(parts := _parts(cell)) > 1:
                    sheet.write_rich_string(count, index, text, *parts, text)
                else:
                    sheet.write_string(count, index, cell, text)
    return count


def _parts(text: str) -> list[str]:
    """Return one part, or several ones of which none looks like an escaped character or like XML to XlsxWriter.

    XlsxWriter escapes a text like `_x0041_`, but not a second one that begins with the last character of the first. It
    writes a text between <r> and </r> as XML.
    """
    if text.startswith("<r>"):
        return ["<", *_ESCAPES.split(text[1:])]
    return _ESCAPES.split(text) if _OVERLAP.search(text) else [text]


@contextmanager
def _workbook(file: BinaryIO) -> Iterator[xlsxwriter.Workbook]:
    """Yield a workbook whose temporary files are removed even if the disk is full."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with xlsxwriter.Workbook(file, {"constant_memory": True, "tmpdir": folder}) as book:
                yield book
        except FileCreateError as error:
            raise error.args[0] from error


def _received(reader: Popen[bytes]) -> Iterator[list[Any]]:
    """Yield each row that the process writes: its worksheet, its number and its cells.

    Raises:
        UnreadableFile: the process rejected the workbook, or the kernel stopped it at a limit.
        RuntimeError: the process failed for another reason.
    """
    for line in reader.stdout or ():
        if line.endswith(b"\n"):  # otherwise the process was stopped while it wrote
            row = orjson.loads(line)
            if row[1] and (b'{"' in line or b"null" in line):
                row[2] = [_typed(cell) for cell in row[2]]
            yield row
    status = xlsx_package.TOO_LARGE if reader.wait() < 0 else reader.returncode
    if status in MESSAGES:
        raise UnreadableFile(str(MESSAGES[status]))
    if status:
        raise RuntimeError(f"{xlsx_reader.__file__} ended with status {status}.")


def _typed(cell: Any) -> Any:
    if isinstance(cell, dict):
        return Date(cell["date"]) if "date" in cell else FormattedNumber.of(_typed(cell["number"]), cell["format"])
    return math.inf if cell is None else cell  # JSON cannot represent a number that is infinite or NaN
