"""Read an XLSX workbook from a stranger, and write one, row by row.

A workbook is a ZIP of XML: small on the way, and of any size when unpacked. Its parts are measured before any is read
(a part never gives more than its directory says), and again while they are read, by what a reader makes of them in
memory and in time; rows and columns are counted, and defusedxml refuses entities.
"""

import io
import itertools
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, BinaryIO
from xml.etree.ElementTree import ParseError
from xml.parsers import expat

import openpyxl
from django.utils.translation import gettext as _
from openpyxl.cell import WriteOnlyCell
from openpyxl.reader.excel import ExcelReader
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.xml import DEFUSEDXML
from openpyxl.xml.constants import SHEET_MAIN_NS

from devices.deadlines import Deadline
from devices.headings import MAX_COLUMNS, Unreadable

if not DEFUSEDXML:
    raise ImportError("openpyxl does not find defusedxml, or is told not to use it.")

ZIP, OLE = b"PK\x03\x04", bytes.fromhex("D0CF11E0A1B11AE1")
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")  # what Office calls the part that a password opens
WORKSHEETS = "xl/worksheets/"

MAX_PARTS = 1_000
MAX_WORKSHEETS = 64 * 2**20  # bytes of all worksheets, unpacked; they are read row by row
MAX_REST = 32 * 2**20  # bytes of all else, unpacked; texts and styles are held in memory
MAX_STYLES = 4 * 2**20
MAX_ROWS = 1_048_576  # Excel's own
MAX_DEPTH = 64  # elements within each other
# Elements and attributes that are in memory at a time: up to 130 MB. A row or a shared text that has ended is one, and
# 60,000 lines may have six texts each that are in no other line.
MAX_HELD = 400_000
MAX_TREE = 150_000  # of these in a part that is read as a whole, which takes longer
MAX_HELD_BYTES = 8 * 2**20  # of the XML of what is in memory at a time: a row, say, but not the rows before it
# Of a workbook, whether they are in memory or not. Each needs a byte or two of the file where something is in it, so a
# small file that has very many is made to keep the registry busy.
FEW_ELEMENTS, ELEMENTS_A_BYTE = 20_000, 4
MAX_TAG = 2**18  # bytes without an element: old versions of expat begin a tag anew with each piece that comes

# What openpyxl and zipfile let through of a workbook that is damaged, or made to do damage.
DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    InvalidFileException,
    ParseError,
    expat.ExpatError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)

TEXT = "@"  # the format of a cell whose content is left as it is
WIDTHS = {"id": 10, "device_mac": 24, "device_type": 14}  # in characters; 30 for the others

Line = tuple[int, Sequence[object]]
Lines = Iterator[Line]


def is_one(file: BinaryIO) -> bool:
    """Tell whether the file begins like a workbook, of whatever age."""
    file.seek(0)
    return file.read(8).startswith((ZIP, OLE))


@contextmanager
def tables(file: BinaryIO, most_rows: int, deadline: Deadline) -> Iterator[list[Lines]]:
    """Give the lines of each worksheet that is not hidden: their number in the sheet, and their cells' values.

    The elements of the whole workbook are as many as the cells of `most_rows` at most.

    Raises:
        Unreadable: it is none, an old or a protected one, damaged, or too large when unpacked.
        Overdue: also while its lines are read.
    """
    _check(file)
    file.seek(0)
    try:
        reader = _Reader(file, read_only=True, data_only=True, keep_links=False)
        reader.archive = _Archive(file, most_rows, deadline)
        reader.read()
    except DAMAGES as error:
        raise Unreadable(_("The file is no XLSX workbook, or a damaged one.")) from error
    book = reader.wb
    try:
        yield [_lines(sheet) for sheet in book.worksheets if sheet.sheet_state == "visible"]
    finally:
        book.close()


def write(file: BinaryIO, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Write the headings and the rows, all as text, which Excel leaves as it is; return how many rows there were.

    Cells that somebody fills in later are text too.

    Raises:
        Unreadable: there are more rows than a worksheet has.
    """
    book, count = openpyxl.Workbook(write_only=True), 0
    sheet = book.create_sheet("Devices")
    cells = [WriteOnlyCell(sheet) for _heading in headings]  # one a column, written again and again
    for letter, heading, cell in zip("ABCDEFGH", headings, cells, strict=False):
        column = sheet.column_dimensions[letter]
        column.number_format = cell.number_format = TEXT
        column.width = WIDTHS.get(heading, 30)
    sheet.freeze_panes = "A2"
    for count, row in enumerate(itertools.chain([headings], rows)):
        if count == MAX_ROWS:
            break
        for cell, text in zip(cells, row, strict=True):
            cell.value, cell.data_type = text, "s"
        sheet.append(cells)
    book.save(file)  # also where it is of no use: this deletes openpyxl's temporary file
    if count == MAX_ROWS:
        raise Unreadable(_("A worksheet has room for %(most)d devices. Choose CSV.") % {"most": MAX_ROWS - 1})
    return count


def _check(file: BinaryIO) -> None:
    """Refuse what is no workbook, or would be too large, before any of it is unpacked."""
    file.seek(0)
    if file.read(8) == OLE:
        file.seek(0)
        if ENCRYPTED in file.read():
            raise Unreadable(_("The workbook is protected by a password. Save it without, and choose it again."))
        raise Unreadable(_("The file is in Excel's old format (.xls). Save it as XLSX, and choose it again."))
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
    except DAMAGES as error:
        raise Unreadable(_("The file is no XLSX workbook, or a damaged one.")) from error
    if any(part.flag_bits & 1 for part in parts):
        raise Unreadable(_("The workbook is protected by a password. Save it without, and choose it again."))
    sheets = sum(part.file_size for part in parts if part.filename.startswith(WORKSHEETS))
    rest = sum(part.file_size for part in parts) - sheets
    styles = sum(part.file_size for part in parts if part.filename.endswith("styles.xml"))
    if len(parts) > MAX_PARTS or sheets > MAX_WORKSHEETS or rest > MAX_REST or styles > MAX_STYLES:
        raise _too_large()


def _too_large() -> Unreadable:
    return Unreadable(_("The workbook is too large when unpacked. Save the list of devices alone, as CSV."))


class _Archive(zipfile.ZipFile):
    """A workbook's parts, each of which is measured while it is read."""

    def __init__(self, file: BinaryIO, most_rows: int, deadline: Deadline) -> None:
        super().__init__(file)
        self.deadline = deadline
        size = file.seek(0, io.SEEK_END)
        self.elements_left = min(most_rows * MAX_COLUMNS, FEW_ELEMENTS + ELEMENTS_A_BYTE * size)
        self.released = "row"  # the element that whoever streams a part lets go when it has ended

    def open(self, *args: Any, **kwargs: Any) -> Any:
        return _Part(super().open(*args, **kwargs), self, self.released, MAX_HELD)

    def read(self, name: Any, pwd: bytes | None = None) -> bytes:
        """Read a part as a whole, all of which becomes a tree."""
        with _Part(super().open(name, pwd=pwd), self, None, MAX_TREE) as part:
            return part.readall()


class _Reader(ExcelReader):
    archive: _Archive

    def read_strings(self) -> None:
        self.archive.released = "si"
        super().read_strings()
        self.archive.released = "row"


class _Part(io.RawIOBase):
    """A part as it is read, and refused before it grows too large for the memory in which it becomes a tree.

    Of a row that has ended, or of a shared text, openpyxl keeps the element, and lets go its attributes and what was in
    it. All else it keeps until the part has been read.
    """

    def __init__(self, part: IO[bytes], archive: _Archive, released: str | None, most: int) -> None:
        self.part, self.archive, self.most = part, archive, most
        self.released = f"{SHEET_MAIN_NS} {released}"
        self.length = self.released_bytes = self.quiet = 0
        self.held = self.depth = 0
        self.begun: list[tuple[int, int]] = []  # of each row that has begun: what is held once it has ended, its place
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.ordered_attributes = True
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.part.read(len(buffer))
        self._measure(piece)
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self.part.close()
        super().close()

    def _measure(self, piece: bytes) -> None:
        self.archive.deadline.check()
        self.quiet += len(piece)
        self.length += len(piece)
        self.parser.Parse(piece, False)
        if self.quiet > MAX_TAG or self.length - self.released_bytes > MAX_HELD_BYTES:
            raise _too_large()

    def _begin(self, name: str, attributes: list[str]) -> None:
        self.quiet = 0
        self.archive.elements_left -= 1
        self.held += 1 + len(attributes) // 2
        self.depth += 1
        if self.held > self.most or self.depth > MAX_DEPTH or self.archive.elements_left < 0:
            raise _too_large()
        if name == self.released:
            self.begun.append((self.held - len(attributes) // 2, self.parser.CurrentByteIndex))

    def _end(self, name: str) -> None:
        self.depth -= 1
        if name == self.released:
            self.held, place = self.begun.pop()
            if not self.begun:
                self.released_bytes += self.parser.CurrentByteIndex - place


def _lines(sheet: Any) -> Lines:
    rows = sheet.iter_rows(min_row=1, max_row=MAX_ROWS, max_col=MAX_COLUMNS, values_only=True)
    try:
        yield from enumerate(rows, start=1)
    except DAMAGES as error:
        raise Unreadable(_("The file is no XLSX workbook, or a damaged one.")) from error
