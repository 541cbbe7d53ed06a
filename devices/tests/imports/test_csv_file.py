"""Read CSV files as offices have them."""

import pytest

from devices.imports.files.spreadsheet import Row
from devices.registry import device_fields
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


HEAD = "device_name,device_mac,device_type,device_holder"
RECORD = ",".join(LINE)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_utf_16_is_read_with_and_without_a_byte_order_mark(encoding: str, mark: str) -> None:
    assert read_rows(f"{mark}{HEAD}\r\n{RECORD}\r\n".encode(encoding)) == [Row(2, CELLS, {})]


@pytest.mark.parametrize("start", ["", "sep=;\r\n", "\ufeffsep=;\r\n", "sep=;\n\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_line_that_names_the_delimiter_is_skipped(start: str, encoding: str) -> None:
    if start.startswith("\ufeff") and encoding == "cp1252":
        start = start[1:]
    content = f"{start}{HEAD};{RECORD}".replace(",", ";").replace("device_holder;", "device_holder\n").encode(encoding)
    assert [row.cells for row in read_rows(content)] == [CELLS]


@pytest.mark.parametrize(
    "padding",
    [b"\0" * 500, b"\x1a", b"\r\n\x1a", b"\x1a\x1a", b"\x1a" + b"\0" * 127, b"\r\n\0\0\n\x1a\r\n", b"\n\xef\xbb\xbf\n"],
)
@pytest.mark.parametrize("quote", ["", '"'])
def test_padding_at_the_end_of_a_file_is_ignored(padding: bytes, quote: str) -> None:
    last = ",".join(f"{quote}{cell}{quote}" for cell in LINE)
    for line_break in ("", "\r\n"):
        assert read_rows(f"{HEAD}\n{last}{line_break}".encode() + padding) == [Row(2, CELLS, {})]


def test_fields_filled_with_nul_are_read() -> None:
    fields = "\0\0,".join([*LINE, ""])
    assert read_rows(f"{HEAD}\n{fields}\n".encode()) == [Row(2, CELLS, {})]


def test_nul_inside_a_name_is_an_error_of_its_row() -> None:
    rows = read_rows(f"{HEAD}\nCu\0ff,{','.join(LINE[1:])}\n{RECORD}\n".encode())
    [[problem], []] = [device_fields.validate(row.cells)[1] for row in rows]
    assert (problem.field, problem.code) == ("device_name", "characters")


def test_files_that_were_joined_are_read() -> None:
    one = f"\ufeff{HEAD}\r\n{RECORD}\r\n".encode()
    assert [row.number for row in read_rows(one + one)] == [2, 4]


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_line_break_within_a_quoted_name_is_a_space(line_break: str) -> None:
    content = f'{HEAD}\n"Cuff{line_break}1",{",".join(LINE[1:])}\n'.encode()
    assert [row.cells for row in read_rows(content)] == [CELLS]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ('="0012"', "0012"),
        ('"=""0012"""', "0012"),
        ('"=""a, b"""', "a, b"),
        ('"=""say """"hi"""" """', 'say "hi"'),
        ('=""', None),
        ("=0012", "=0012"),
        ("='0012'", "='0012'"),
        ('"=""a""&""b"""', '="a"&"b"'),
        ('\'="0012"', '="0012"'),
    ],
)
def test_text_that_is_written_as_a_formula_is_read(cell: str, text: str | None) -> None:
    line = f"{cell},D0:61:AE:D4:58:94,CONSUMER,{cell}"
    [row] = read_rows(f"{HEAD}\n{line}\n".encode())
    assert (row.cells.get("device_name"), row.cells.get("device_holder")) == (text, text)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_headers_and_all_columns_can_be_written_as_formulas(delimiter: str) -> None:
    lines = [["id", "device_name", "device_mac", "device_type", "device_holder"], ["7", *LINE]]
    content = "\n".join(delimiter.join(f'="{cell}"' for cell in line) for line in lines)
    assert read_rows(content.encode()) == [Row(2, {"id": "7", **CELLS}, {})]


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
