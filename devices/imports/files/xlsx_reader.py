"""Read an XLSX workbook in a separate process: `python -I xlsx_reader.py BYTES SECONDS < workbook`.

A workbook is a ZIP of XML. It is small in transit and can have any size when unpacked. calamine holds a whole worksheet
in memory, and two cells far apart make it fill the rectangle between them. So the kernel limits this process to BYTES
of address space and SECONDS of CPU time. xlsx_file.py starts it, without an environment. Of the project it imports
xlsx_package.py only.

Each line of the output is a JSON array: [worksheet, row, cells], with a fourth item if the row is hidden. Empty rows
are omitted. A date, time or duration is {"date": its text}. A number with a format is {"number": it, "format": code}.
Row 0 begins a worksheet, and has names and values that describe it instead of cells. The exit status is the reason if a
workbook is rejected.
"""

import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from python_calamine import CalamineSheet, CalamineWorkbook

if __name__ == "__main__":  # the option -I removes the folder from the path
    sys.path.append(str(Path(__file__).parents[3]))

from devices.imports.files.xlsx_package import (
    DAMAGED,
    ESCAPED,
    FORMATTED,
    TOO_LARGE,
    Sheet,
    unpacked,
)

MAX_ROWS = 1_048_576  # Excel's limit
MAX_ROW = 4 * 2**20  # bytes of JSON
MAX_COLUMNS = 50  # further columns are ignored; no list of devices has more

OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_APPEND_NEWLINE
MARK = re.compile(f"{ESCAPED}|{FORMATTED}".encode())
ESCAPES = re.compile(f"(?:{ESCAPED}[0-9A-Fa-f]{{4}};)+")


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
    sheets, copy, formats = unpacked(content)
    book, visible = CalamineWorkbook.from_filelike(copy), 0
    filled = sum(sheet.has_values for sheet in sheets)
    for index, sheet in enumerate(sheets):
        about = {"name": unmarked(sheet.name, formats), "is_hidden": sheet.is_hidden, "filled": filled}
        if sheet.is_hidden:
            yield line(index, 0, list(about.items()))
            continue
        table = book.get_sheet_by_index(visible)
        yield line(index, 0, list({**about, **layout(sheet, table)}.items()))
        for number, cells in enumerate(table.iter_rows(), start=1):
            if any(cell != "" for cell in cells):
                is_hidden = [1] * (number in sheet.hidden_rows)
                text = line(index, number, cells[:MAX_COLUMNS], *is_hidden)
                if MARK.search(text):
                    text = line(index, number, [unmarked(cell, formats) for cell in cells[:MAX_COLUMNS]], *is_hidden)
                yield text
        del table
        visible += 1


def layout(sheet: Sheet, table: CalamineSheet) -> dict[str, Any]:
    """Return the hidden columns of a worksheet, and its cells that are merged downwards.

    hidden_columns: from 0.
    merged: the first row, the last row and the column of each block. Rows are from 1, columns from 0.
    """
    if table.end and table.end[0] >= MAX_ROWS:  # from 0
        sys.exit(DAMAGED)
    return {
        "hidden_columns": [
            column
            for column in range(MAX_COLUMNS)
            if any(first <= column + 1 <= last for first, last in sheet.hidden_columns)
        ],
        "merged": [
            (first + 1, last + 1, column)
            for (first, column), (last, _last_column) in table.merged_cell_ranges or ()
            if first < last and column < MAX_COLUMNS
        ],
    }


def line(sheet: int, number: int, *rest: object) -> bytes:
    text = orjson.dumps([sheet, number, *rest], default=lambda date: {"date": str(date)}, option=OPTIONS)
    if len(text) > MAX_ROW:
        sys.exit(TOO_LARGE)
    return text


def unmarked(cell: object, formats: dict[int, str]) -> object:
    """Return what the marks in a text stand for (xlsx_package.py)."""
    if not isinstance(cell, str):
        return cell
    if cell.startswith(FORMATTED):
        style, _separator, number = cell[1:].partition(";")
        if style == "d":
            return {"date": number}
        return {"number": float(number), "format": formats[int(style)]} if number.strip() else ""
    return ESCAPES.sub(_characters, cell) if ESCAPED in cell else cell


def _characters(escapes: re.Match[str]) -> str:
    """Return the characters of UTF-16. Half of a surrogate pair becomes U+FFFD."""
    return bytes.fromhex(escapes[0].translate({ord(ESCAPED): None, ord(";"): None})).decode("utf-16-be", "replace")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
