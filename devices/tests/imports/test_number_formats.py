"""Numbers that Excel shows in another form than their value."""

import io
from typing import Any

import openpyxl
import pytest

from devices.imports.files.cells import ExcelConversion
from devices.imports.files.spreadsheet import Row
from devices.tests.support.workbooks import (
    HEADER,
    HEADER_ROW,
    LINE,
    NS,
    read_error,
    read_rows,
    row_of,
    sheet_of,
    with_parts,
)


def formatted(value: Any, code: str, column: int = 1) -> Row:
    """Return the row of a workbook with a cell of this value and format."""
    book, file = openpyxl.Workbook(), io.BytesIO()
    sheet: Any = book.active
    sheet.append([*HEADER, "Nama alat"])
    sheet.append(LINE)
    sheet.cell(2, column).value = value
    sheet.cell(2, column).number_format = code
    book.save(file)
    [row] = read_rows(file.getvalue())
    return row


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (12, "00000", "00012"),
        (12.0, "00", "12"),
        (123456, "000", "123456"),
        (0, "000", "000"),
        (12, "0", "12"),
        (12, "General", "12"),
        (12, "@", "12"),
        (12, "#", "12"),
        (12, "#,##0", "12"),
        (12, "00000;-00000", "00012"),
        (12, "General;[Red]-General", "12"),
        (1.25, "0.00", "1.25"),
        (0.1 + 0.2, "General", "0.3"),
        (1 / 3, "General", "0.333333333333333"),
        (1.5, "General", "1.5"),
        (-5, "General", "-5"),
        ("00012", "@", "00012"),
        ("0.05", "0%", "0.05"),
    ],
)
@pytest.mark.parametrize("column", [1, 4])
def test_number_is_read_as_excel_shows_it(value: Any, code: str, text: str, column: int) -> None:
    row = formatted(value, code, column)
    assert row.cells["device_name" if column == 1 else "device_holder"] == text
    assert row.conversions == {}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (7, '"Bed "0'),
        (7, "\\B0"),
        (7, '0" hari"'),
        (7, '"date: "0'),
        (0.05, "0%"),
        (0.5, "0.00%"),
        (12, "0.00"),
        (12.5, "0"),
        (12.5, "00000"),
        (1.5, "# ?/?"),
        (1200, "#,##0"),
        (12, '"Rp"#,##0'),
        (12, "[$Rp-421]#,##0"),
        (12, "_(* #,##0_);_(* (#,##0)"),
        (12, "00-00"),
        (12, "0.0E+0"),
        (12, "[Red]0"),
        (12, "[>10]000"),
        (-5, "000"),
        (-5, "0;0"),
        (12, ";;;"),
        (0, "0;0;-"),
        (12, "?"),
        (0, "#"),
        (0.5, "#.0"),
        (12, "0_)"),
    ],
)
def test_number_shown_in_another_form_is_reported(value: Any, code: str) -> None:
    for column, field in ((1, "device_name"), (4, "device_holder")):
        assert formatted(value, code, column).conversions == {field: ExcelConversion.FORMAT}


@pytest.mark.parametrize("code", ["yyyy-mm-dd", "d/m", "[h]:mm", "[$-421]dd mmmm yyyy;@", "h:mm AM/PM", "[Red]mm"])
def test_number_shown_as_a_date_is_reported_as_one(code: str) -> None:
    assert formatted(46154, code).conversions == {"device_name": ExcelConversion.DATE}


@pytest.mark.parametrize("number", [14, 22, 27, 36, 45, 46, 47, 50, 58])
def test_built_in_date_format_is_reported_as_one(number: int) -> None:
    styles = f'<styleSheet xmlns="{NS}"><cellXfs><xf/><xf numFmtId="{number}"/></cellXfs></styleSheet>'
    content = sheet_of(HEADER_ROW, row_of('<c s="1"><v>46154</v></c>', *LINE[1:]))
    [row] = read_rows(with_parts(content, {"xl/styles.xml": styles}))
    assert row.conversions == {"device_name": ExcelConversion.DATE}


@pytest.mark.parametrize("number", [2, 5, 9, 10, 11, 12, 39, 41, 44, 48])
def test_built_in_number_format_is_reported(number: int) -> None:
    styles = f'<styleSheet xmlns="{NS}"><cellXfs><xf/><xf numFmtId="{number}"/></cellXfs></styleSheet>'
    content = sheet_of(HEADER_ROW, row_of('<c s="1"><v>1200</v></c>', *LINE[1:]))
    [row] = read_rows(with_parts(content, {"xl/styles.xml": styles}))
    assert row.conversions == {"device_name": ExcelConversion.FORMAT}


@pytest.mark.parametrize(
    "cell",
    [
        '<c r="A2" s="1"><v>12</v></c>',
        "<c s='1' r='A2'><v>12</v></c>",
        '<c s="1" t="n"><v>1.2E1</v></c>',
        '<c s="1"><f>A1+1</f><v>12</v></c>',
        '<c s="1"><f t="shared" si="0"/><v>12</v></c>',
        '<c cm="1" vm="1" s="1" ><v xml:space="preserve">12</v></c>',
    ],
)
@pytest.mark.parametrize("prefix", ["", "x:"])
def test_format_is_found_in_any_form_of_a_cell(cell: str, prefix: str) -> None:
    numbers = '<numFmts><numFmt numFmtId="164" formatCode="00000"/></numFmts>'
    styles = f'<styleSheet xmlns="{NS}">{numbers}<cellXfs><xf/><xf numFmtId="164"/></cellXfs></styleSheet>'
    if prefix:
        cell = (
            cell.replace("</", f"</{prefix}").replace("<", f"<{prefix}").replace(f"<{prefix}/{prefix}", f"</{prefix}")
        )
    content = with_parts(sheet_of(HEADER_ROW, row_of(cell, *LINE[1:])), {"xl/styles.xml": styles})
    assert [row.cells["device_name"] for row in read_rows(content)] == ["00012"]


def test_format_of_a_blank_cell_or_a_text_changes_nothing() -> None:
    numbers = '<numFmts><numFmt numFmtId="164" formatCode="00000"/></numFmts>'
    styles = f'<styleSheet xmlns="{NS}">{numbers}<cellXfs><xf/><xf numFmtId="164"/></cellXfs></styleSheet>'
    for cell, text in (
        ('<c s="1"/>', None),
        ('<c s="1"><v></v></c>', None),
        ('<c s="1"><v/></c>', None),
        ('<c s="1" t="str"><v>12</v></c>', "12"),
        ('<c s="1" t="b"><v>1</v></c>', "TRUE"),
        ('<c s="1" t="inlineStr"><is><t>7</t></is></c>', "7"),
    ):
        content = with_parts(sheet_of(HEADER_ROW, row_of(cell, *LINE[1:])), {"xl/styles.xml": styles})
        assert [row.cells.get("device_name") for row in read_rows(content)] == [text], cell


def test_mac_is_read_with_the_zeros_that_excel_shows() -> None:
    row = formatted(1122334455, "000000000000", 2)
    assert (row.cells["device_mac"], row.conversions) == ("001122334455", {})
    for code in ("0", "#,##0"):
        row = formatted(112233445566, code, 2)
        assert (row.cells["device_mac"], row.conversions) == ("112233445566", {})
    assert formatted(1122334455, "0", 2).conversions == {"device_mac": ExcelConversion.NUMBER}


def test_number_that_excel_can_only_show_in_scientific_notation_is_reported() -> None:
    assert formatted(1e-7, "General").conversions == {"device_name": ExcelConversion.NUMBER}
    assert formatted(1e20, "0", 4).conversions == {"device_holder": ExcelConversion.NUMBER}


def test_formatted_number_in_a_header_is_shown_plainly() -> None:
    content = sheet_of(row_of('<c s="1"><v>5</v></c>', "x"))
    numbers = '<numFmts><numFmt numFmtId="164" formatCode="00000"/></numFmts>'
    styles = f'<styleSheet xmlns="{NS}">{numbers}<cellXfs><xf/><xf numFmtId="164"/></cellXfs></styleSheet>'
    assert "Found: 5, x." in read_error(with_parts(content, {"xl/styles.xml": styles}))
