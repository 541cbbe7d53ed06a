"""Read an XLSX workbook in a separate process with limits (xlsx_reader.py), and write one row by row."""

import itertools
import math
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from operator import itemgetter
from subprocess import DEVNULL, PIPE, Popen
from typing import Any, BinaryIO

import orjson
import xlsxwriter
from django.utils.translation import gettext_lazy as _
from xlsxwriter.exceptions import FileCreateError

from devices.imports.files import xlsx_reader
from devices.imports.files.cells import Date
from devices.imports.files.header import UnreadableFile
from devices.values.csv_escaping import escape

ZIP = b"PK\x03\x04"
MAX_ROWS = xlsx_reader.MAX_ROWS
MAX_MEMORY = 512 * 2**20  # bytes of address space of the process that reads a workbook
MAX_CPU_SECONDS = 20  # of the same process
TEXT_FORMAT = "@"  # Excel does not convert the content of a cell with this format
WIDTHS = {"id": 10, "device_mac": 24, "device_type": 14}  # in characters; 30 for other columns

MESSAGES = {
    xlsx_reader.DAMAGED: _("The file is not a valid XLSX workbook."),
    xlsx_reader.TOO_LARGE: _("The workbook is too large when unpacked. Save only the list of devices, as CSV."),
    xlsx_reader.PROTECTED: _("The workbook has a password. Remove the password, and choose the file again."),
    xlsx_reader.OLD: _("The file is in Excel's old format (.xls). Save it as XLSX, and choose it again."),
}

SheetRow = tuple[int, Sequence[object]]  # the row's number, from 1, and the values of its cells
SheetRows = Iterator[SheetRow]


def is_workbook(file: BinaryIO) -> bool:
    """Return whether the file begins like a workbook, in XLSX or in an older format."""
    file.seek(0)
    return file.read(8).startswith((ZIP, xlsx_reader.OLE))


@contextmanager
def worksheets(file: BinaryIO) -> Iterator[Iterator[SheetRows]]:
    """Yield the rows of each visible worksheet, after an empty row with the number 0.

    The rows of a worksheet must be read before the next worksheet.

    Raises:
        UnreadableFile: with one of MESSAGES. Also raised while the rows are read.
    """
    command = [sys.executable, "-I", xlsx_reader.__file__, str(MAX_MEMORY), str(MAX_CPU_SECONDS)]
    with Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}) as reader:  # noqa: S603  (no input in it)
        try:
            file.seek(0)
            with suppress(BrokenPipeError), reader.stdin as pipe:  # type: ignore[union-attr]  # _received raises the reason
                shutil.copyfileobj(file, pipe)
            sheets = itertools.groupby(_received(reader), key=itemgetter(0))
            yield (((number, cells) for _sheet, number, cells in rows) for _sheet, rows in sheets)
        finally:
            reader.kill()


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
                sheet.write_string(count, index, cell, text)
    return count


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
            if b'{"date":' in line:
                row[2] = [Date(cell["date"]) if isinstance(cell, dict) else cell for cell in row[2]]
            if b"null" in line:  # a number that is infinite or NaN, which JSON cannot represent
                row[2] = [math.inf if cell is None else cell for cell in row[2]]
            yield row
    status = xlsx_reader.TOO_LARGE if reader.wait() < 0 else reader.returncode
    if status in MESSAGES:
        raise UnreadableFile(str(MESSAGES[status]))
    if status:
        raise RuntimeError(f"{xlsx_reader.__file__} ended with status {status}.")
