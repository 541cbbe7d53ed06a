"""Read workbooks as offices have them."""

import io
import zipfile

import openpyxl
import pytest

from devices.imports.files import spreadsheet, xlsx_package
from devices.imports.files.spreadsheet import Row
from devices.tests.support.workbooks import (
    CELLS,
    HEADER,
    LINE,
    MADE,
    SHEET,
    read_error,
    read_rows,
    repacked,
    sheet_of,
    workbook,
)


def with_state(state: str) -> bytes:
    book = zipfile.ZipFile(io.BytesIO(MADE)).read("xl/workbook.xml")
    return repacked(MADE, "xl/workbook.xml", book.replace(b'state="visible"', f'state="{state}"'.encode()))


def test_worksheet_with_the_header_is_found_behind_a_cover() -> None:
    assert read_rows(workbook(HEADER, LINE, cover=True)) == [Row(2, CELLS, {})]
    assert "MAC address" in read_error(workbook(["ID", "TYPE"], cover=False))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (xlsx_package.OLE + b"\0" * 600, "The file is in Excel's old format (.xls)."),
        (xlsx_package.OLE + b"\0" * 60 + xlsx_package.ENCRYPTED, "The workbook has a password."),
        (MADE[:-300], "The file is not a valid XLSX workbook."),
        (repacked(MADE, "xl/workbook.xml", b"<x/>"), "The file is not a valid XLSX workbook."),
        (with_state("hidden"), "The workbook has no worksheet."),
        (with_state("veryHidden"), "The workbook has no worksheet."),
        (repacked(MADE, SHEET, b"<worksheet><sheetData><row r='x'/>"), "The file is not a valid XLSX workbook."),
        (
            repacked(MADE, SHEET, b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>"),
            "not a valid XL",
        ),
        (repacked(MADE, "xl/styles.xml", b"<!DOCTYPE a [<!ENTITY b 'bb'>]><a>&b;</a>"), "not a valid XL"),
    ],
)
def test_unreadable_workbook_is_explained(content: bytes, message: str) -> None:
    assert message in read_error(content)


def test_formula_is_read_as_its_last_value() -> None:
    header = "".join(f"<c t='inlineStr'><is><t>{text}</t></is></c>" for text in HEADER)
    row = "<c t='str'><f>A1&amp;1</f><v>Cuff &amp; 1</v></c><c><f>1+1</f><v>2</v></c>"
    rows = read_rows(sheet_of(f"<row>{header}</row>", f"<row>{row}</row>"))
    assert rows[0].cells == {"device_name": "Cuff & 1", "device_mac": "2"}


def test_row_numbers_include_empty_rows() -> None:
    book, file = openpyxl.Workbook(), io.BytesIO()
    for place, row in ((3, HEADER), (7, LINE)):
        for column, text in enumerate(row, start=3):
            book.active.cell(place, column, text)
    book.save(file)
    assert read_rows(file.getvalue()) == [Row(7, CELLS, {})]


def test_cover_sheet_with_a_multi_line_cell_is_skipped() -> None:
    book = openpyxl.Workbook()
    book.active.append(["Alat RS Harapan\nNovember"])
    sheet = book.create_sheet("Alat")
    sheet.append(["ID", "MAC", "TYPE"])
    sheet.append(["Cuff 1", "d061.aed4.5894", "consumer"])
    file = io.BytesIO()
    book.save(file)
    with spreadsheet.open_sheet(file) as opened:
        assert [row.cells["device_name"] for row in opened.rows] == ["Cuff 1"]
