"""Read cells, and detect values that Excel has converted."""

import io
import re
from datetime import date, datetime, time
from typing import Any

import openpyxl
import pytest

from devices.imports.files.cells import ExcelConversion
from devices.imports.files.spreadsheet import Row
from devices.tests.support.workbooks import (
    HEADER,
    LINE,
    MADE,
    NS,
    SHEET,
    read_error,
    read_rows,
    repacked,
    workbook,
)


@pytest.mark.parametrize(
    ("cell", "mac"),
    [("D061AED45894", "D061AED45894"), (112233445566, "112233445566"), (112233445566.0, "112233445566")],
)
def test_number_is_read_as_a_mac_only_if_it_is_unambiguous(cell: Any, mac: str) -> None:
    assert read_rows(workbook(["ID", "MAC", "TYPE"], ["a", cell, "b"])) == [
        Row(2, {"device_name": "a", "device_mac": mac, "device_type": "b"}, {})
    ]


@pytest.mark.parametrize(
    ("cell", "conversion"),
    [
        (1.0e11, ExcelConversion.NUMBER),
        (112233445500, ExcelConversion.NUMBER),  # 1122334455E2 is a MAC, too
        (1122334455, ExcelConversion.NUMBER),  # it has lost its leading zeros
        (1.12e19, ExcelConversion.NUMBER),
        (0.5, ExcelConversion.NUMBER),
        (datetime(2026, 5, 12), ExcelConversion.DATE),  # noqa: DTZ001  (a spreadsheet has no time zones)
        (date(2026, 5, 12), ExcelConversion.DATE),
        (time(11, 22, 33), ExcelConversion.DATE),
        ("#REF!", ExcelConversion.ERROR),
    ],
)
def test_mac_converted_by_excel_is_reported_and_not_guessed(cell: Any, conversion: ExcelConversion) -> None:
    [row] = read_rows(workbook(["ID", "MAC", "TYPE"], ["a", cell, "b"]))
    assert row.conversions == {"device_mac": conversion}


@pytest.mark.parametrize(
    ("text", "conversion"),
    [
        ("1.0E+11", ExcelConversion.NUMBER),
        ("1,12233E+11", ExcelConversion.NUMBER),
        ("11223344556", ExcelConversion.NUMBER),
        ("12/05/2026", ExcelConversion.DATE),
        ("2026-05-12 00:00:00", ExcelConversion.DATE),
        ("12-Mei-26", ExcelConversion.DATE),
        ("#NAME?", ExcelConversion.ERROR),
        ("112233445E11", None),
        ("hello", None),
    ],
)
def test_mac_converted_by_excel_is_reported_in_a_csv(text: str, conversion: ExcelConversion | None) -> None:
    [row] = read_rows(f"ID;MAC;TYPE\na;{text};b".encode())
    assert row.conversions.get("device_mac") == conversion


@pytest.mark.parametrize("text", ["3E2", "12E5", "1E5", "891E3", "219E01BE", "1E10A", "5E-12", "1-2", "12E+5", "1.5"])
def test_text_with_an_e_is_a_name_in_any_file(text: str) -> None:
    for content in (workbook(HEADER, [text, *LINE[1:]]), f"{';'.join(HEADER)}\n{text};{';'.join(LINE[1:])}".encode()):
        [row] = read_rows(content)
        assert (row.cells["device_name"], row.conversions) == (text, {})


@pytest.mark.parametrize("text", ["1.23E+11", "1,23E+11", "2E+05", "-1.5e+12"])
def test_number_as_excel_writes_it_is_reported_in_a_csv_and_is_a_name_in_a_workbook(text: str) -> None:
    line = f"{';'.join(HEADER)}\n{text};{';'.join(LINE[1:3])};{text}"
    assert set(read_rows(line.encode())[0].conversions) == {"device_name", "device_holder"}
    assert "save the file as XLSX" in str(ExcelConversion.NUMBER.label)
    [row] = read_rows(workbook(HEADER, [text, *LINE[1:]]))
    assert (row.cells["device_name"], row.conversions) == (text, {})


def test_manufacturer_id_of_digits_is_accepted_if_allowed(settings: Any) -> None:
    settings.DEVICES_ALLOW_NON_MAC = True
    assert not read_rows(b"ID;MAC;TYPE\na;20210101;b")[0].conversions
    assert read_rows(b"ID;MAC;TYPE\na;1.0E+11;b")[0].conversions


def test_numeric_names_are_read_as_typed() -> None:
    rows = read_rows(workbook(["ID", "MAC", "TYPE"], *([name, "x", "y"] for name in (1001, 1002.0, 1.5, 10**15, True))))
    assert [row.cells["device_name"] for row in rows] == ["1001", "1002", "1.5", str(10**15), "TRUE"]
    assert [row.number for row in rows if row.conversions] == [5]  # Excel stores 15 digits


@pytest.mark.parametrize("error_code", ["#N/A", "#REF!", "#SPILL!"])
@pytest.mark.parametrize("prefix", ["", "x:"])
def test_cell_with_an_error_is_reported(error_code: str, prefix: str) -> None:
    header = "".join(f"<c t='inlineStr'><is><t>{text}</t></is></c>" for text in HEADER)
    row = f"<row>{header}</row><row><c s='0' t='e'><f>1/0</f><v>{error_code}</v></c></row>"
    sheet = f'<worksheet xmlns="{NS}" xmlns:x="{NS}"><sheetData>{row}</sheetData></worksheet>'
    prefixed = re.sub(r"<(/?)(?=\w)", rf"<\1{prefix}", sheet)
    assert read_rows(repacked(MADE, SHEET, prefixed.encode())) == [
        Row(2, {"device_name": error_code}, {"device_name": ExcelConversion.ERROR})
    ]


@pytest.mark.parametrize("number", ["NaN", "inf", "1e400"])
def test_number_that_is_not_finite_is_reported(number: str) -> None:
    header = "".join(f"<c t='inlineStr'><is><t>{text}</t></is></c>" for text in HEADER)
    row = f"<row>{header}</row><row><c><v>{number}</v></c></row>"
    sheet = f'<worksheet xmlns="{NS}"><sheetData>{row}</sheetData></worksheet>'
    [result] = read_rows(repacked(MADE, SHEET, sheet.encode()))
    assert result.conversions == {"device_name": ExcelConversion.NUMBER}


@pytest.mark.parametrize(
    ("value", "shown", "text"),
    [
        (datetime(2026, 5, 12), "General", "2026-05-12"),  # noqa: DTZ001
        (datetime(2026, 5, 12, 3, 4), "yyyy-mm-dd h:mm", "2026-05-12 03:04:00"),  # noqa: DTZ001
        (46154, "[$-421]d mmmm yyyy", "2026-05-12"),
        (time(11, 22, 33), "h:mm:ss", "11:22:33"),
        (1.25, "[h]:mm", "1 day, 6:00:00"),
    ],
)
def test_date_or_time_in_any_column_is_reported(value: Any, shown: str, text: str) -> None:
    book, file = openpyxl.Workbook(), io.BytesIO()
    sheet: Any = book.active
    sheet.append(HEADER)
    sheet.append([value, *LINE[1:]])
    if shown != "General":
        sheet["A2"].number_format = shown
    book.save(file)
    [row] = read_rows(file.getvalue())
    assert (row.cells["device_name"], row.conversions) == (text, {"device_name": ExcelConversion.DATE})


def test_whole_number_is_shown_without_decimals() -> None:
    assert "Found: 2026, 1.5." in read_error(workbook([2026, 1.5]))
    assert read_rows(workbook(["ID,MAC,TYPE,HOLDER"], ["Cuff 2,x,y,RS A", 7]))[0].cells["device_holder"] == "RS A;7"
