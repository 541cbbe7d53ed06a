"""Read an XLSX workbook in a separate process: `python -I xlsx_reader.py BYTES SECONDS < workbook`.

A workbook is a ZIP of XML. It is small in transit and can have any size when unpacked. calamine holds a whole worksheet
in memory, and two cells far apart make it fill the rectangle between them. So the kernel limits this process to BYTES
of address space and SECONDS of CPU time. xlsx_file.py starts it, without an environment. It imports no other module of
the project.

Each line of the output is a row that is not empty, as a JSON array: [worksheet, row, cells]. A date, time or duration
is {"date": its text}. Row 0 begins a worksheet. The exit status is the reason if a workbook is rejected.
"""

import io
import re
import resource
import sys
import zipfile
from collections.abc import Iterator, Sequence

import orjson
from python_calamine import CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

DAMAGED, TOO_LARGE, PROTECTED, OLD = range(10, 14)  # exit statuses of a rejected workbook

MAX_ROWS = 1_048_576  # Excel's limit
MAX_PARTS = 1_000
MAX_UNPACKED = 96 * 2**20  # bytes of all XML
MAX_ROW = 4 * 2**20  # bytes of JSON
MAX_COLUMNS = 50  # further columns are ignored; no list of devices has more

OLE = bytes.fromhex("D0CF11E0A1B11AE1")
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")  # a stream in each Office file with a password
# calamine returns no text for a cell with an error, such as #N/A, unless its type is the text of a formula.
ERROR_CELL = re.compile(rb"""(<(?:\w+:)?c\b[^<>]*?\st=)(["'])e\2""")
OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_APPEND_NEWLINE


def main(memory: int, seconds: int) -> None:
    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for limit, maximum in limits.items():
        resource.setrlimit(limit, (maximum, maximum))
    try:
        for row in rows(sys.stdin.buffer.read()):
            sys.stdout.buffer.write(row)
    except SystemExit:
        raise
    except MemoryError:
        sys.exit(TOO_LARGE)
    except BaseException:  # noqa: BLE001  (a panic of Rust is not an Exception)
        sys.exit(DAMAGED)


def rows(content: bytes) -> Iterator[bytes]:
    book = CalamineWorkbook.from_filelike(unpacked(content))
    for index, metadata in enumerate(book.sheets_metadata):
        if metadata.typ == SheetTypeEnum.WorkSheet and metadata.visible == SheetVisibleEnum.Visible:
            yield line(index, 0, [])
            sheet = book.get_sheet_by_index(index)
            if sheet.end and sheet.end[0] >= MAX_ROWS:  # from 0
                sys.exit(DAMAGED)
            for number, cells in enumerate(sheet.iter_rows(), start=1):
                if any(cell != "" for cell in cells):
                    yield line(index, number, cells[:MAX_COLUMNS])


def line(sheet: int, number: int, cells: Sequence[object]) -> bytes:
    text = orjson.dumps([sheet, number, cells], default=lambda date: {"date": str(date)}, option=OPTIONS)
    if len(text) > MAX_ROW:
        sys.exit(TOO_LARGE)
    return text


def unpacked(content: bytes) -> io.BytesIO:
    """Return a copy of the workbook with its XML parts only, not compressed. calamine trusts the sizes in a ZIP.

    The copy has no other parts, so calamine rejects an XLSB or ODS.
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
            text = packed.read(part)  # at most the size in the directory
            if b"\0" in text or b"<!DOCTYPE" in text:  # UTF-16, or a DTD, which OOXML forbids
                sys.exit(DAMAGED)
            plain.writestr(part.filename, ERROR_CELL.sub(rb"\1\2str\2", text))
    copy.seek(0)
    return copy


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
