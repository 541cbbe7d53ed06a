"""Read workbooks as offices have them."""

import io
import re
import zipfile

import openpyxl
import pytest

from devices.imports.files import spreadsheet, xlsx_reader
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


def test_first_worksheet_with_the_header_is_read() -> None:
    assert read_rows(workbook(HEADER, LINE, cover=True)) == [Row(2, CELLS, {})]
    assert "MAC address" in read_error(workbook(["ID", "TYPE"], cover=False))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (xlsx_reader.OLE + b"\0" * 600, "The file is in Excel's old format (.xls)."),
        (xlsx_reader.OLE + b"\0" * 60 + xlsx_reader.ENCRYPTED, "The workbook has a password."),
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


def test_xlsb_and_ods_are_rejected() -> None:
    ods = io.BytesIO()
    with zipfile.ZipFile(ods, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest:manifest/>")
        archive.writestr(
            "content.xml",
            "<office:document-content><office:body><office:spreadsheet><table:table table:name='S'><table:table-row>"
            "<table:table-cell office:value-type='string'><text:p>ID</text:p></table:table-cell></table:table-row>"
            "</table:table></office:spreadsheet></office:body></office:document-content>",
        )
    xlsb = io.BytesIO()
    with zipfile.ZipFile(xlsb, "w") as archive:
        archive.writestr("_rels/.rels", zipfile.ZipFile(io.BytesIO(MADE)).read("_rels/.rels"))
        archive.writestr("xl/workbook.bin", b"\x83\x01\0")
    for file in (ods, xlsb):
        assert read_error(file.getvalue()).startswith("The file is not a valid XLSX workbook.")


def test_merged_cells_have_their_text_in_the_first_cell() -> None:
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in (HEADER, LINE, ["Cuff 2", *LINE[1:3]]):
        book.active.append(row)
    book.active.merge_cells("D2:D3")
    book.save(file)
    assert [row.cells.get("device_holder") for row in read_rows(file.getvalue())] == [LINE[3], None]


def test_formula_is_read_as_its_last_value() -> None:
    header = "".join(f"<c t='inlineStr'><is><t>{text}</t></is></c>" for text in HEADER)
    row = "<c t='str'><f>A1&amp;1</f><v>Cuff &amp; 1</v></c><c><f>1+1</f><v>2</v></c>"
    rows = read_rows(sheet_of(f"<row>{header}</row>", f"<row>{row}</row>"))
    assert rows[0].cells == {"device_name": "Cuff & 1", "device_mac": "2"}


def test_escape_of_a_character_in_a_workbook_is_read_as_the_character() -> None:
    [row] = read_rows(workbook(HEADER, ["Cuff_x000D_ 1_x005F_x0041_", *LINE[1:]]))
    assert row.cells["device_name"] == "Cuff 1_x0041_"


def test_workbook_with_unusual_styles_is_read() -> None:
    styles = zipfile.ZipFile(io.BytesIO(MADE)).read("xl/styles.xml")
    unusual = re.sub(rb"<fill>.*?</fill>", b"<fill/>", styles).replace(b'<family val="2"', b'<family val="34"')
    assert unusual.count(b"<fill/>") > 1
    assert b'"34"' in unusual
    assert read_rows(repacked(MADE, "xl/styles.xml", unusual)) == [Row(2, CELLS, {})]


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
