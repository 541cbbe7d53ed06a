"""Workbooks and other spreadsheet files for tests."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import openpyxl
import pytest

from devices.imports.files import header, spreadsheet
from devices.imports.files.spreadsheet import Row

HEADER = ["ID", "MAC", "TYPE", "HOLDER"]
LINE = ["Cuff 1", "D0:61:AE:D4:58:94", "CONSUMER", "RS Müller"]
CELLS = dict(zip(header.COLUMNS, LINE, strict=True))  # of LINE, as they are read
SHEET = "xl/worksheets/sheet1.xml"
NS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def read_rows(content: bytes) -> list[Row]:
    with spreadsheet.open_sheet(io.BytesIO(content)) as sheet:
        return list(sheet.rows)


def read_sheet(content: bytes) -> tuple[spreadsheet.Sheet, list[Row]]:
    """Return the description of the file, complete because its rows are read, and the rows."""
    with spreadsheet.open_sheet(io.BytesIO(content)) as sheet:
        return sheet, list(sheet.rows)


def names_of(content: bytes) -> list[str]:
    """Return the names of the devices in a file."""
    return [row.cells["device_name"] for row in read_rows(content)]


def read_error(content: bytes) -> str:
    """Return the message for a file that cannot be read."""
    with pytest.raises(header.UnreadableFile) as caught:
        read_rows(content)
    return str(caught.value)


def workbook(*rows: Any, cover: bool = False) -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    if cover:
        book.active.append(["Inventaris 2026"])
        book.create_sheet("Alat")
    for row in rows:
        book.worksheets[-1].append(row)
    book.save(file)
    return file.getvalue()


def repacked(content: bytes, part: str, text: bytes) -> bytes:
    """Return the workbook with another text in one of its parts."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, text if name == part else old.read(name))
    return file.getvalue()


def with_parts(content: bytes, parts: Mapping[str, bytes | str | None]) -> bytes:
    """Return the workbook with these parts replaced or added, and without those that are None."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in parts:
                new.writestr(name, old.read(name))
        for name, text in parts.items():
            if text is not None:
                new.writestr(name, text)
    return file.getvalue()


def part_of(content: bytes, name: str) -> str:
    return zipfile.ZipFile(io.BytesIO(content)).read(name).decode()


def row_of(*cells: str) -> str:
    """Return a row in XML. A cell is a text or, if it begins with `<`, XML."""
    return f"<row>{''.join(cell if cell.startswith('<') else inline(cell) for cell in cells)}</row>"


def inline(text: str, attributes: str = "") -> str:
    return f'<c t="inlineStr"{attributes}><is><t>{text}</t></is></c>'


TYPES = "[Content_Types].xml"
MADE = workbook(HEADER, LINE)
PARTS = [
    "[Content_Types].xml",
    "xl/workbook.xml",
    "xl/_rels/workbook.xml.rels",
    "xl/styles.xml",
    SHEET,
]  # the parts that are read


HEADER_ROW = row_of(*HEADER)


def sheet_of(*rows: str) -> bytes:
    """Return the workbook with these rows, as XML, in its worksheet."""
    return repacked(MADE, SHEET, f'<worksheet xmlns="{NS}"><sheetData>{"".join(rows)}</sheetData></worksheet>'.encode())


def with_shared_texts(text: bytes) -> bytes:
    """Return the workbook with a part of shared strings, to which cells refer."""
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    types = zipfile.ZipFile(io.BytesIO(MADE)).read("[Content_Types].xml")
    override = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'.encode()
    file = io.BytesIO(repacked(MADE, "[Content_Types].xml", types.replace(b"</Types>", override)))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/sharedStrings.xml", text)
    return file.getvalue()
