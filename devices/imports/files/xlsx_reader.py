"""Read an XLSX workbook in a process of its own: `python -I xlsx_reader.py BYTES SECONDS < workbook`.

A workbook is a ZIP of XML, small in transit and of any size when unpacked, and calamine holds a whole worksheet in
memory: two cells far apart make it fill the rectangle between them. So the kernel limits this process, to BYTES of
address space and SECONDS of the processor, and xlsx_file.py, which starts it, gives it no environment. It imports
nothing of the registry.

Each line of the output is a JSON array of a row that is not empty: [worksheet, row, cells]. A date, time or duration is
{"date": its text}. Row 0 begins a worksheet. The exit status says why a workbook was refused.
"""

import io
import re
import resource
import sys
import zipfile
from collections.abc import Iterator, Sequence

import orjson
from python_calamine import CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

DAMAGED, TOO_LARGE, PROTECTED, OLD = range(10, 14)  # the exit status if the workbook is refused

MAX_ROWS = 1_048_576  # Excel's own
MAX_PARTS = 1_000
MAX_UNPACKED = 96 * 2**20  # bytes of all XML
MAX_ROW = 4 * 2**20  # bytes of JSON
MAX_COLUMNS = 50  # that are read: more than any list of devices has

OLE = bytes.fromhex("D0CF11E0A1B11AE1")
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")  # the stream of an Office file that a password opens
# calamine has no text for a cell with an error, such as #N/A. As a formula's text it has one.
ERROR_CELL = re.compile(rb"""(<(?:\w+:)?c\b[^<>]*?\st=)(["'])e\2""")
OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_APPEND_NEWLINE


def main(memory: int, seconds: int) -> None:
    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for limit, most in limits.items():
        resource.setrlimit(limit, (most, most))
    try:
        for row in rows(sys.stdin.buffer.read()):
            sys.stdout.buffer.write(row)
    except SystemExit:
        raise
    except MemoryError:
        sys.exit(TOO_LARGE)
    except BaseException:  # noqa: BLE001  (of Rust too, whose panics are no Exception)
        sys.exit(DAMAGED)


def rows(content: bytes) -> Iterator[bytes]:
    book = CalamineWorkbook.from_filelike(unpacked(content))
    for place, sheet in enumerate(book.sheets_metadata):
        if sheet.typ == SheetTypeEnum.WorkSheet and sheet.visible == SheetVisibleEnum.Visible:
            yield line(place, 0, [])
            opened = book.get_sheet_by_index(place)
            if opened.end and opened.end[0] >= MAX_ROWS:  # from 0
                sys.exit(DAMAGED)
            for number, cells in enumerate(opened.iter_rows(), start=1):
                if any(cell != "" for cell in cells):
                    yield line(place, number, cells[:MAX_COLUMNS])


def line(place: int, number: int, cells: Sequence[object]) -> bytes:
    text = orjson.dumps([place, number, cells], default=lambda date: {"date": str(date)}, option=OPTIONS)
    if len(text) > MAX_ROW:
        sys.exit(TOO_LARGE)
    return text


def unpacked(content: bytes) -> io.BytesIO:
    """Return a workbook that has the XML of this one, not compressed: calamine trusts what a ZIP says of its sizes.

    Without its other parts, an XLSB or ODS is none that calamine knows.
    """
    if content.startswith(OLE):
        sys.exit(PROTECTED if ENCRYPTED in content else OLD)
    copy = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as packed, zipfile.ZipFile(copy, "w") as plain:
        parts = packed.infolist()
        if any(part.flag_bits & 1 for part in parts):
            sys.exit(PROTECTED)
        xml = [part for part in parts if part.filename.lower().endswith((".xml", ".rels"))]
        if len(parts) > MAX_PARTS or sum(part.file_size for part in xml) > MAX_UNPACKED:
            sys.exit(TOO_LARGE)
        for part in xml:
            text = packed.read(part)  # never more than the directory says
            if b"\0" in text or b"<!DOCTYPE" in text:  # UTF-16, or a DTD, which OOXML forbids
                sys.exit(DAMAGED)
            plain.writestr(part.filename, ERROR_CELL.sub(rb"\1\2str\2", text))
    copy.seek(0)
    return copy


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
