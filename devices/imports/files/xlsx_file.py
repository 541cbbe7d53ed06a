"""Read an XLSX workbook, in a process of its own that the kernel limits (xlsx_reader.py), and write one, row by row."""

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
MEMORY = 512 * 2**20  # bytes of address space that reading a workbook may take
SECONDS = 20  # of the processor, likewise
TEXT = "@"  # the format of a cell whose content is left as it is
WIDTHS = {"id": 10, "device_mac": 24, "device_type": 14}  # in characters; 30 for the others

MESSAGES = {
    xlsx_reader.DAMAGED: _("The file is no XLSX workbook, or a damaged one."),
    xlsx_reader.TOO_LARGE: _("The workbook is too large when unpacked. Save the list of devices alone, as CSV."),
    xlsx_reader.PROTECTED: _("The workbook is protected by a password. Save it without, and choose it again."),
    xlsx_reader.OLD: _("The file is in Excel's old format (.xls). Save it as XLSX, and choose it again."),
}

Line = tuple[int, Sequence[object]]
Lines = Iterator[Line]


def is_workbook(file: BinaryIO) -> bool:
    """Return whether the file begins like a workbook, XLSX or older."""
    file.seek(0)
    return file.read(8).startswith((ZIP, xlsx_reader.OLE))


@contextmanager
def worksheets(file: BinaryIO) -> Iterator[Iterator[Lines]]:
    """Give the lines of each visible worksheet: their number, from 1, and their cells' values. Line 0 is empty.

    The lines of a worksheet must be read before the next worksheet.

    Raises:
        UnreadableFile: also while the lines are read: for one of REASONS.
    """
    command = [sys.executable, "-I", xlsx_reader.__file__, str(MEMORY), str(SECONDS)]
    with Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}) as reader:  # noqa: S603  (no input in it)
        try:
            file.seek(0)
            with suppress(BrokenPipeError), reader.stdin as pipe:  # type: ignore[union-attr]  # _received says why it ended
                shutil.copyfileobj(file, pipe)
            sheets = itertools.groupby(_received(reader), key=itemgetter(0))
            yield (((number, cells) for _sheet, number, cells in rows) for _sheet, rows in sheets)
        finally:
            reader.kill()


def write(file: BinaryIO, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Write the headings and the rows, escaped, as text; return the number of rows. Cells filled in later are text too.

    Raises:
        UnreadableFile: there are more rows than a worksheet has.
        OSError: the file or a temporary file cannot be written.
    """
    with _workbook(file) as book:
        text = book.add_format({"num_format": TEXT})
        sheet = book.add_worksheet("Devices")
        sheet.freeze_panes(1, 0)
        for column, heading in enumerate(headings):
            sheet.set_column(column, column, WIDTHS.get(heading, 30), text)
        for count, row in enumerate(itertools.chain([headings], rows)):
            if count == MAX_ROWS:
                raise UnreadableFile(
                    _("A worksheet has room for %(most)d devices. Choose CSV.") % {"most": MAX_ROWS - 1}
                )
            for column, cell in enumerate(map(escape, row)):
                sheet.write_string(count, column, cell, text)
    return count


@contextmanager
def _workbook(file: BinaryIO) -> Iterator[xlsxwriter.Workbook]:
    """Give a workbook whose temporary files are removed even if the disk is full."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with xlsxwriter.Workbook(file, {"constant_memory": True, "tmpdir": folder}) as book:
                yield book
        except FileCreateError as error:
            raise error.args[0] from error


def _received(reader: Popen[bytes]) -> Iterator[list[Any]]:
    """Give each row that the process writes: its worksheet, its number and its cells.

    Raises:
        UnreadableFile: the process refused the workbook, or was ended for its memory or time.
        RuntimeError: it failed for another reason.
    """
    for line in reader.stdout or ():
        if line.endswith(b"\n"):  # else the process was ended while it wrote
            row = orjson.loads(line)
            if b'{"date":' in line:
                row[2] = [Date(cell["date"]) if isinstance(cell, dict) else cell for cell in row[2]]
            if b"null" in line:  # a number that is none, or too large: JSON has no other word for it
                row[2] = [math.inf if cell is None else cell for cell in row[2]]
            yield row
    status = xlsx_reader.TOO_LARGE if reader.wait() < 0 else reader.returncode
    if status in MESSAGES:
        raise UnreadableFile(str(MESSAGES[status]))
    if status:
        raise RuntimeError(f"{xlsx_reader.__file__} ended with status {status}.")
