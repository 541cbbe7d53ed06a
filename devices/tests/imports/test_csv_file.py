"""Read CSV files as offices have them."""

import pytest

from devices.imports.files.spreadsheet import Row
from devices.tests.support.workbooks import CELLS, HEADER, LINE, read_error, read_rows, workbook


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_csv_is_read_with_any_encoding_and_delimiter(delimiter: str, encoding: str) -> None:
    text = "\r\n".join(delimiter.join(line) for line in (HEADER, LINE))
    assert read_rows(text.encode(encoding)) == [Row(2, CELLS, {})]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_blank_rows_are_skipped_and_row_numbers_are_those_of_the_file(ending: str) -> None:
    lines = ["", ";;;", "ID;MAC;TYPE;HOLDER", "", " ; ;;", ";".join(LINE), 'Cuff 2;"x\ny";z', "Cuff 3;x;y"]
    assert [row.number for row in read_rows(ending.join(lines).encode())] == [6, 7, 9]


def test_delimiter_is_that_of_the_header_and_not_of_a_title() -> None:
    text = "List of devices, RS Harapan, ward 3, floor 2\nsep=;\nID;MAC;TYPE;HOLDER\nCuff 1;x;y;Jakarta, Pusat\n"
    assert read_rows(text.encode())[0].cells["device_holder"] == "Jakarta, Pusat"


@pytest.mark.parametrize("content", [b"\x81\x8d\x8f", b"\xff\xfe\x00\xd8\x00\xd8", b"\xef\xbb\xbfID,MAC\n\xff"])
def test_binary_file_is_rejected(content: bytes) -> None:
    assert read_error(content).startswith("The file is neither XLSX nor text in a known encoding.")


def test_nul_characters_around_a_list_are_ignored() -> None:
    [row] = read_rows(b"\0" * 100 + b"ID,MAC,TYPE\nCuff 1,x,y\n" + b"\0" * 100)
    assert row.cells["device_name"] == "Cuff 1"


def test_rows_in_one_cell_are_split() -> None:
    lines = ["Daftar alat", "ID,MAC,TYPE,HOLDER", ",".join(LINE), 'Cuff 2,x,y,"RS A, B"']
    rows = [CELLS, {"device_name": "Cuff 2", "device_mac": "x", "device_type": "y", "device_holder": "RS A, B"}]
    quoted = "\n".join('"' + line.replace('"', '""') + '"' for line in lines)
    for content in (workbook(*([line] for line in lines)), quoted.encode()):
        assert [row.cells for row in read_rows(content)] == rows
    assert read_rows(workbook([lines[1]], ["Cuff 2,x,y,RS A", " B"]))[0].cells["device_holder"] == "RS A; B"


def test_unclosed_quote_is_reported_with_its_row() -> None:
    message = read_error(b'ID,MAC,TYPE\na,b,c\n"d,e,f\n')
    assert message == "The file is not valid CSV: unexpected end of data, near row 3."


def test_line_break_within_a_row_in_one_cell_is_a_space() -> None:
    [row] = read_rows(b'"device_name,device_mac,device_type"\n"a\rb,c,d"\n')
    assert row.cells["device_name"] == "a b"


def test_csv_with_an_endless_cell_is_rejected() -> None:
    assert read_error(b'ID,MAC,TYPE\n"' + b"x" * 1_000_000)
    assert read_error(b"x" * 5_000_000)
