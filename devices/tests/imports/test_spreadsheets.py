"""Spreadsheets as offices have them: every file here is made as Excel would make it."""

import errno
import gc
import io
import os
import re
import tempfile
import time as time_
import unicodedata
import zipfile
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from django.core.exceptions import ValidationError
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.imports.files import header, spreadsheet, xlsx_file, xlsx_reader
from devices.imports.files.cells import ExcelConversion
from devices.imports.files.spreadsheet import Row, UnreadableFile
from devices.registry import device_data
from devices.tests.support.workbooks import LINE, MADE, NS, PARTS, SHEET, repacked, with_shared_texts, workbook
from devices.values import csv_escaping, normalization

CELLS = dict(zip(header.COLUMNS, LINE, strict=True))


def read(content: bytes) -> list[Row]:
    with spreadsheet.open_sheet(io.BytesIO(content)) as sheet:
        return list(sheet.rows)


def error(content: bytes) -> str:
    with pytest.raises(UnreadableFile) as caught:
        read(content)
    return str(caught.value)


# --- Encodings and delimiters


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_a_text_file_is_read_in_the_encoding_and_with_the_delimiter_of_any_office(
    delimiter: str, encoding: str
) -> None:
    text = "\r\n".join(delimiter.join(line) for line in (["ID", "MAC", "TYPE", "HOLDER"], LINE))
    assert read(text.encode(encoding)) == [Row(2, CELLS, {})]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_blank_lines_are_left_out_and_numbers_are_those_of_the_file(ending: str) -> None:
    lines = ["", ";;;", "ID;MAC;TYPE;HOLDER", "", " ; ;;", ";".join(LINE), 'Cuff 2;"x\ny";z', "Cuff 3;x;y"]
    assert [row.number for row in read(ending.join(lines).encode())] == [6, 7, 9]


def test_a_delimiter_is_the_one_that_the_headings_have_and_not_a_title_above_them() -> None:
    text = "List of devices, RS Harapan, ward 3, floor 2\nsep=;\nID;MAC;TYPE;HOLDER\nCuff 1;x;y;Jakarta, Pusat\n"
    assert read(text.encode())[0].cells["device_holder"] == "Jakarta, Pusat"


@pytest.mark.parametrize("content", [b"\x81\x8d\x8f", b"\xff\xfe\x00\xd8\x00\xd8", b"\xef\xbb\xbfID,MAC\n\xff"])
def test_what_is_no_text_is_said_to_be_none(content: bytes) -> None:
    assert error(content).startswith("The file is neither XLSX nor text in a known encoding.")


def test_nul_characters_around_a_list_are_ignored() -> None:
    [row] = read(b"\0" * 100 + b"ID,MAC,TYPE\nCuff 1,x,y\n" + b"\0" * 100)
    assert row.cells["device_name"] == "Cuff 1"


def test_lines_that_stand_in_one_cell_each_are_divided() -> None:
    lines = ["Daftar alat", "ID,MAC,TYPE,HOLDER", ",".join(LINE), 'Cuff 2,x,y,"RS A, B"']
    rows = [CELLS, {"device_name": "Cuff 2", "device_mac": "x", "device_type": "y", "device_holder": "RS A, B"}]
    quoted = "\n".join('"' + line.replace('"', '""') + '"' for line in lines)
    for content in (workbook(*([line] for line in lines)), quoted.encode()):
        assert [row.cells for row in read(content)] == rows
    assert read(workbook([lines[1]], ["Cuff 2,x,y,RS A", " B"]))[0].cells["device_holder"] == "RS A; B"


def test_a_quote_that_is_not_closed_is_told_with_its_line() -> None:
    assert error(b'ID,MAC,TYPE\na,b,c\n"d,e,f\n') == "The file is no CSV: unexpected end of data, near line 3."


# --- Headings


@pytest.mark.parametrize(
    "headings",
    [
        "device_name;device_mac;device_type;device_holder",
        "DEVICE NAME;Device-MAC;deviceType;Device Holder",
        "ID;MAC;TYPE;HOLDER",
        "Name;MAC address;Type;Hospital",
        "Nama;Alamat MAC;Jenis;Rumah sakit",
    ],
)
def test_headings_are_ours_the_fields_or_the_admins_in_both_languages(headings: str) -> None:
    assert read(f"{headings}\n{';'.join(LINE)}".encode())[0].cells == CELLS


@pytest.mark.parametrize(
    "above",
    [
        "Daftar alat RS Harapan;;;\nNovember 2026;;;\n\nID;MAC;TYPE;HOLDER\n",
        "Alat;;;Tempat\nID;MAC;TYPE;HOLDER\n",
    ],
)
def test_titles_and_merged_cells_may_stand_above_the_headings(above: str) -> None:
    text = f"{above}{';'.join(LINE)}\n{above.splitlines()[-1]}\n{';'.join(LINE)}\n"
    assert [row.cells for row in read(text.encode())] == [CELLS, CELLS]


def test_id_is_the_registrys_where_there_is_a_name_and_else_the_name() -> None:
    assert read(b"ID,MAC,TYPE\n7,x,y")[0].cells == {"device_name": "7", "device_mac": "x", "device_type": "y"}
    assert read(b"ID,device_name,MAC,TYPE\n7,Cuff,x,y")[0].cells["id"] == "7"
    assert read(b"Nama,ID,MAC,TYPE\nCuff,7,x,y")[0].cells["id"] == "7"


def test_columns_with_unknown_headings_are_ignored() -> None:
    with spreadsheet.open_sheet(io.BytesIO(b"device_name,Ward,MAC,TYPE,NOTE\nCuff,?,x,y,z")) as sheet:
        assert sheet.passed_over == ["Ward", "NOTE"]
        assert not sheet.has_holders
        assert next(sheet.rows).cells["device_name"] == "Cuff"


def test_a_heading_is_passed_over_without_its_nul_which_postgresql_keeps_nowhere() -> None:
    content = b"device_name,device_mac,device_type,no\0te\nCuff,D061AED45894,CONSUMER,x\n"
    with spreadsheet.open_sheet(io.BytesIO(content)) as sheet:
        assert sheet.passed_over == ["note"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "The file is empty. It must have the headings device_name, device_mac, device_type, device_holder."),
        ("ID;MAK;TYPE;HOLDER\n", "“MAK” is not known: did you mean device_mac?"),
        ("ID;TYPE;HOLDER\n", "These headings are missing: device_mac."),
        ("ID;MAC;TYPE;HOLDR\n", "“HOLDR” is not known: did you mean device_holder?"),
        ("ID;MAC;TYPE;TYPE\n", "More than one heading stands for device_type: TYPE, TYPE."),
        ("MAC;device_mac;TYPE;ID\n", "More than one heading stands for device_mac: MAC, device_mac."),
    ],
)
def test_a_missing_or_wrong_heading_is_told_by_name(text: str, told: str) -> None:
    assert told in error(text.encode())


def test_what_is_wrong_with_a_file_is_told_in_indonesian() -> None:
    with translation.override("id"):
        assert "Judul kolom ini tidak ada: device_mac." in error(b"ID;TYPE;HOLDER\n")


# --- What Excel makes of cells


@pytest.mark.parametrize(
    ("cell", "mac"),
    [("D061AED45894", "D061AED45894"), (112233445566, "112233445566"), (112233445566.0, "112233445566")],
)
def test_a_mac_is_read_where_it_can_have_been_one_only(cell: Any, mac: str) -> None:
    assert read(workbook(["ID", "MAC", "TYPE"], ["a", cell, "b"])) == [
        Row(2, {"device_name": "a", "device_mac": mac, "device_type": "b"}, {})
    ]


@pytest.mark.parametrize(
    ("cell", "spoilt"),
    [
        (1.0e11, ExcelConversion.NUMBER),
        (112233445500, ExcelConversion.NUMBER),  # 1122334455E2 is an address too
        (1122334455, ExcelConversion.NUMBER),  # its zeros were lost
        (1.12e19, ExcelConversion.NUMBER),
        (0.5, ExcelConversion.NUMBER),
        (datetime(2026, 5, 12), ExcelConversion.DATE),  # noqa: DTZ001  (a spreadsheet knows no time zone)
        (date(2026, 5, 12), ExcelConversion.DATE),
        (time(11, 22, 33), ExcelConversion.DATE),
        ("#REF!", ExcelConversion.ERROR),
    ],
)
def test_a_mac_that_excel_has_spoilt_is_told_and_not_guessed(cell: Any, spoilt: ExcelConversion) -> None:
    [row] = read(workbook(["ID", "MAC", "TYPE"], ["a", cell, "b"]))
    assert row.spoilt == {"device_mac": spoilt}


@pytest.mark.parametrize(
    ("text", "spoilt"),
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
def test_the_same_is_seen_in_a_text_file(text: str, spoilt: ExcelConversion | None) -> None:
    [row] = read(f"ID;MAC;TYPE\na;{text};b".encode())
    assert row.spoilt.get("device_mac") == spoilt


def test_a_makers_code_of_digits_is_no_number_where_such_codes_are_allowed(settings: Any) -> None:
    settings.DEVICES_ALLOW_NON_MAC = True
    assert not read(b"ID;MAC;TYPE\na;20210101;b")[0].spoilt
    assert read(b"ID;MAC;TYPE\na;1.0E+11;b")[0].spoilt


def test_names_that_are_numbers_are_read_as_they_were_typed() -> None:
    rows = read(workbook(["ID", "MAC", "TYPE"], *([name, "x", "y"] for name in (1001, 1002.0, 1.5, 10**15, True))))
    assert [row.cells["device_name"] for row in rows] == ["1001", "1002", "1.5", str(10**15), "TRUE"]
    assert [row.number for row in rows if row.spoilt] == [5]  # Excel keeps 15 digits


# --- What is written, and read back


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=12) | st.text(";|'=- \"x", max_size=12))
def test_whatever_is_escaped_is_read_back(text: str) -> None:
    assert csv_escaping.unescape(csv_escaping.escape(text)) == text


@pytest.mark.parametrize(
    "text", ["=1+1", "+62", "-5", "@sum", "\tx", "\rx", "0012", "1E5", "1-2", "3 A", "Mei 2", "#REF!"]
)
def test_what_a_spreadsheet_program_would_run_or_change_is_escaped(text: str) -> None:
    assert csv_escaping.escape(text) == f"'{text}"


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
def test_whatever_a_program_takes_for_a_delimiter_no_cell_begins_like_a_formula(delimiter: str) -> None:
    names = ["x;=1+1;y", "x|@SUM(1)", "x; -1", "a,b;+1", "=1;=1", "'=1;'=1", 'say "hi";=1', 'x;"=1+1;y']
    file = io.BytesIO()
    spreadsheet.write(file, ".csv", [[str(i), name, *LINE[1:]] for i, name in enumerate(names, 1)])
    found = [cell for line in file.getvalue().decode("utf-8-sig").splitlines() for cell in line.split(delimiter)]
    assert not [cell for cell in found if re.match(r'[\s"]*[=+@-]', cell)]
    assert [row.cells["device_name"] for row in read(file.getvalue())] == names


FORMS = "\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u207a\u2a75"
UNSEEN = ["", "\ufeff", "\u200b", "\u00a0", "\u00ad", "\x01", "\x85", "\u3000", "\u202e", "\u2060 ", " ", "\U000e0020"]


@pytest.mark.parametrize("unseen", UNSEEN, ids=ascii)
def test_formula_in_any_form_behind_anything_unseen_is_escaped(unseen: str) -> None:
    for begin in ["\t", "\r", *csv_escaping.FORMULA_STARTS]:
        for text in (f"{unseen}{begin}1", f"{begin}{unseen}1"):
            assert csv_escaping.escape(text) == f"'{text}", ascii(text)
            assert csv_escaping.unescape(csv_escaping.escape(text)) == text


@pytest.mark.parametrize("unseen", UNSEEN, ids=ascii)
@pytest.mark.parametrize("delimiter", [";", "|", '; "'])
def test_formula_in_any_form_behind_a_delimiter_is_escaped(unseen: str, delimiter: str) -> None:
    for begin in csv_escaping.FORMULA_STARTS:
        text = f"x{delimiter}{unseen}{begin}1"
        assert csv_escaping.escape(text) == f"x{delimiter}{unseen}'{begin}1", ascii(text)
        assert csv_escaping.unescape(csv_escaping.escape(text)) == text


def test_forms_of_formula_characters_are_all_known() -> None:
    forms = {
        character for character in map(chr, range(0x110000)) if unicodedata.normalize("NFKC", character)[:1] in "=+@-"
    }
    assert forms == set(csv_escaping.FORMULA_STARTS)


def _is_name(text: str) -> bool:
    try:
        return device_data.clean_text(text) == text
    except ValidationError:
        return False


CHARACTERS = st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from(["=", "'", ";", "|", '"', " ", *FORMS])
NAMES = st.lists(
    st.text(CHARACTERS, min_size=1, max_size=12).map(normalization.normalize).filter(_is_name), min_size=1, max_size=20
)


@pytest.mark.parametrize("ending", spreadsheet.ENDINGS)
@settings(deadline=None, max_examples=50)
@given(names=NAMES)
def test_untouched_export_of_any_names_is_read_back_as_it_was(ending: str, names: list[str]) -> None:
    rows = [[str(i), name, "D0:61:AE:D4:58:94", "CONSUMER", name] for i, name in enumerate(names, 1)]
    file = io.BytesIO()
    spreadsheet.write(file, ending, rows)
    for row, sent in zip(read(file.getvalue()), rows, strict=True):
        item, problems = device_data.validate(row.cells)
        assert not problems
        assert not row.spoilt
        assert (item["device_name"], item["device_holder"]) == (sent[1], device_data.clean_holder(sent[4]))


@pytest.mark.parametrize("text", ["Cuff 1", "1001", "D0:61:AE:D4:58:94", "11:22:33:44:55:66", "RS Mei Indah", "a;b|c"])
def test_what_it_would_leave_alone_is_written_as_it_is(text: str) -> None:
    assert csv_escaping.escape(text) == text


@pytest.mark.parametrize("ending", spreadsheet.ENDINGS)
def test_what_is_written_is_read_back_as_it_was(ending: str) -> None:
    names = ["=1+1", "'quoted", "a,b;c", 'say "hi"', "Müller 测试", "0012", "112233445566", "1.0E+11", "x y"]
    rows = [[str(i), name, "D0:61:AE:D4:58:94", "CONSUMER", "unknown"] for i, name in enumerate(names, 1)]
    file = io.BytesIO()
    assert spreadsheet.write(file, ending, rows) == len(names)
    assert [list(row.cells.values()) for row in read(file.getvalue())] == rows


def test_a_written_workbook_keeps_what_is_typed_into_it_as_text() -> None:
    file = io.BytesIO()
    spreadsheet.write(file, ".xlsx", [["7", *LINE]])
    sheet = openpyxl.load_workbook(file).active
    assert {cell.number_format for row in sheet.iter_rows() for cell in row} == {"@"}
    assert {sheet.column_dimensions[letter].number_format for letter in "ABCDE"} == {"@"}


def test_a_csv_is_given_in_pieces_whatever_its_length() -> None:
    pieces = list(spreadsheet.csv_chunks(["1", *LINE] for _ in range(5_000)))
    assert max(map(len, pieces)) < 100 * spreadsheet.ROWS_AT_ONCE
    assert len(read(b"".join(pieces))) == 5_000


def test_a_worksheet_that_cannot_hold_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx_file, "MAX_ROWS", 3)
    assert spreadsheet.write(io.BytesIO(), ".xlsx", [["1", *LINE]] * 2) == 2
    with pytest.raises(UnreadableFile, match="A worksheet has room for 2 devices"):
        spreadsheet.write(io.BytesIO(), ".xlsx", [["1", *LINE]] * 3)


# --- Workbooks from strangers


def with_state(state: str) -> bytes:
    book = zipfile.ZipFile(io.BytesIO(MADE)).read("xl/workbook.xml")
    return repacked(MADE, "xl/workbook.xml", book.replace(b'state="visible"', f'state="{state}"'.encode()))


def sheet_of(*rows: str) -> bytes:
    """The workbook with these rows, as XML, in its worksheet."""
    return repacked(MADE, SHEET, f'<worksheet xmlns="{NS}"><sheetData>{"".join(rows)}</sheetData></worksheet>'.encode())


def test_the_first_worksheet_with_the_headings_is_read() -> None:
    assert read(workbook(["ID", "MAC", "TYPE", "HOLDER"], LINE, cover=True)) == [Row(2, CELLS, {})]
    assert "device_mac" in error(workbook(["ID", "TYPE"], cover=False))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (xlsx_reader.OLE + b"\0" * 600, "The file is in Excel's old format (.xls)."),
        (xlsx_reader.OLE + b"\0" * 60 + xlsx_reader.ENCRYPTED, "The workbook is protected by a password."),
        (MADE[:-300], "The file is no XLSX workbook, or a damaged one."),
        (repacked(MADE, "xl/workbook.xml", b"<x/>"), "The file is no XLSX workbook"),
        (with_state("hidden"), "The workbook has no worksheet."),
        (with_state("veryHidden"), "The workbook has no worksheet."),
        (repacked(MADE, SHEET, b"<worksheet><sheetData><row r='x'/>"), "The file is no XLSX workbook"),
        (repacked(MADE, SHEET, b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>"), "no XLSX"),
        (repacked(MADE, "xl/styles.xml", b"<!DOCTYPE a [<!ENTITY b 'bb'>]><a>&b;</a>"), "no XLSX"),
    ],
)
def test_a_workbook_that_cannot_be_read_is_told_for_what_it_is(content: bytes, told: str) -> None:
    assert told in error(content)


def test_a_workbook_that_unpacks_to_much_is_refused_before_it_is_unpacked() -> None:
    bomb = repacked(MADE, SHEET, b"<worksheet>" + b" " * xlsx_reader.MAX_UNPACKED)
    assert len(bomb) < 200_000
    assert error(bomb).startswith("The workbook is too large when unpacked.")


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
BILLION_LAUGHS = f'<!DOCTYPE lolz [<!ENTITY l0 "ha">{LAUGHS}]><x>&l9;</x>'.encode()
EXTERNAL = b'<!DOCTYPE x [<!ENTITY % d SYSTEM "http://127.0.0.1:9/x.dtd"> %d;]><x/>'


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("attack", [BILLION_LAUGHS, EXTERNAL, BILLION_LAUGHS.decode().encode("utf-16")])
def test_no_part_of_a_workbook_may_declare_an_entity(part: str, attack: bytes) -> None:
    begin = time_.monotonic()
    assert "no XLSX" in error(repacked(MADE, part, attack))
    assert time_.monotonic() - begin < 30


def test_texts_that_are_shared_are_bounded_and_have_no_entities_either() -> None:
    assert "no XLSX" in error(with_shared_texts(BILLION_LAUGHS))
    assert "no XLSX" in error(with_shared_texts(EXTERNAL))
    assert error(with_shared_texts(b" " * xlsx_reader.MAX_UNPACKED)).startswith("The workbook is too large")


def test_a_workbook_in_a_workbook_is_measured_and_not_opened() -> None:
    file = io.BytesIO(MADE)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as book:
        bomb = io.BytesIO()
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as inner:
            inner.writestr("0.xml", b" " * 50_000_000)
        for number in range(10):
            book.writestr(f"xl/embeddings/{number}.zip", bomb.getvalue())
    assert read(file.getvalue()) == [Row(2, CELLS, {})]


def test_a_workbook_that_lies_about_its_size_is_not_unpacked_beyond_it() -> None:
    bomb = bytearray(repacked(MADE, SHEET, b"<worksheet>" + b" " * 50_000_000))
    size = (50_000_011).to_bytes(4, "little")
    assert bomb.count(size) == 2  # before the part, and in the directory
    bomb = bomb.replace(size, (100).to_bytes(4, "little"))
    assert "no XLSX" in error(bytes(bomb))


def test_a_workbook_with_more_parts_than_any_has_is_refused() -> None:
    file = io.BytesIO(MADE)
    with zipfile.ZipFile(file, "a") as book:
        for number in range(xlsx_reader.MAX_PARTS):
            book.writestr(f"xl/media/{number}", b"")
    assert error(file.getvalue()).startswith("The workbook is too large")


@pytest.mark.parametrize("reference", ["A1:XFD1048576", "A1:ZZZZ99999999999", "A1048576:A1", "x", ""])
def test_a_worksheet_may_say_what_it_likes_of_its_dimensions(reference: str) -> None:
    sheet = zipfile.ZipFile(io.BytesIO(MADE)).read(SHEET)
    told = re.sub(rb'<dimension ref="[^"]*"', f'<dimension ref="{reference}"'.encode(), sheet)
    assert told != sheet
    begin = time_.monotonic()
    try:
        rows = read(repacked(MADE, SHEET, told))
    except UnreadableFile as refused:
        assert str(refused)  # noqa: PT017
    else:
        assert rows == [Row(2, CELLS, {})]
    assert time_.monotonic() - begin < 30


def test_a_csv_of_one_endless_cell_is_refused() -> None:
    assert error(b'ID,MAC,TYPE\n"' + b"x" * 1_000_000)
    assert error(b"x" * 5_000_000)


def test_a_formula_in_a_workbook_is_its_last_value_and_is_not_run() -> None:
    assert read(workbook(["ID", "MAC", "TYPE", "HOLDER"], ["=1+1", *LINE[1:]]))[0].cells.get("device_name") in (
        None,
        "",
    )


def cell(place: str, value: str = "<is><t>x</t></is>", kind: str = "inlineStr") -> str:
    return f'<row r="{place.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")}"><c r="{place}" t="{kind}">{value}</c></row>'


def test_rows_and_columns_far_out_are_not_filled_up() -> None:
    assert error(sheet_of(cell("XFD1"))).startswith("These headings are missing")
    assert error(sheet_of(cell("A1048576"))).startswith("These headings are missing")
    assert error(sheet_of(cell("A1048577"))).startswith("The file is no XLSX workbook")
    assert error(sheet_of(cell("A99999999999"))).startswith("The file is no XLSX workbook")
    assert error(sheet_of(cell("A1"), cell("XFD1048576"))).startswith("The workbook is too large when unpacked.")


HEADINGS = ["ID", "MAC", "TYPE", "HOLDER"]


@pytest.mark.parametrize("error_code", ["#N/A", "#REF!", "#SPILL!"])
@pytest.mark.parametrize("prefix", ["", "x:"])
def test_cell_with_an_error_is_reported(error_code: str, prefix: str) -> None:
    headings = "".join(f"<c t='inlineStr'><is><t>{heading}</t></is></c>" for heading in HEADINGS)
    row = f"<row>{headings}</row><row><c s='0' t='e'><f>1/0</f><v>{error_code}</v></c></row>"
    sheet = f'<worksheet xmlns="{NS}" xmlns:x="{NS}"><sheetData>{row}</sheetData></worksheet>'
    prefixed = re.sub(r"<(/?)(?=\w)", rf"<\1{prefix}", sheet)
    assert read(repacked(MADE, SHEET, prefixed.encode())) == [
        Row(2, {"device_name": error_code}, {"device_name": ExcelConversion.ERROR})
    ]


@pytest.mark.parametrize("number", ["NaN", "inf", "1e400"])
def test_number_that_is_not_finite_is_reported(number: str) -> None:
    headings = "".join(f"<c t='inlineStr'><is><t>{heading}</t></is></c>" for heading in HEADINGS)
    row = f"<row>{headings}</row><row><c><v>{number}</v></c></row>"
    sheet = f'<worksheet xmlns="{NS}"><sheetData>{row}</sheetData></worksheet>'
    [line] = read(repacked(MADE, SHEET, sheet.encode()))
    assert line.spoilt == {"device_name": ExcelConversion.NUMBER}


class FullOnce(io.BytesIO):
    """A file whose first write fails."""

    def write(self, content: Any) -> int:
        self.write = super().write  # type: ignore[method-assign]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of zipfile, when it is collected
def test_export_that_cannot_be_written_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OSError, match="No space left"):
        xlsx_file.write(FullOnce(), ["id"], [["1"]])
    gc.collect()
    assert list(tmp_path.iterdir()) == []


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
    book.active.append(HEADINGS)
    book.active.append([value, *LINE[1:]])
    if shown != "General":
        book.active["A2"].number_format = shown
    book.save(file)
    [row] = read(file.getvalue())
    assert (row.cells["device_name"], row.spoilt) == (text, {"device_name": ExcelConversion.DATE})


def test_number_is_read_without_its_format_and_a_text_with_its_zeros() -> None:
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in (HEADINGS, [12, *LINE[1:]], ["00012", *LINE[1:]]):
        book.active.append(row)
    book.active["A2"].number_format, book.active["A3"].number_format = "00000", "@"
    book.save(file)
    assert [row.cells["device_name"] for row in read(file.getvalue())] == ["12", "00012"]


def test_whole_number_is_shown_as_one_wherever_it_stands() -> None:
    assert "What was found: 2026, 1.5." in error(workbook([2026, 1.5]))
    assert read(workbook(["ID,MAC,TYPE,HOLDER"], ["Cuff 2,x,y,RS A", 7]))[0].cells["device_holder"] == "RS A;7"


def test_merged_cells_have_their_text_in_the_first_only() -> None:
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in (HEADINGS, LINE, ["Cuff 2", *LINE[1:3]]):
        book.active.append(row)
    book.active.merge_cells("D2:D3")
    book.save(file)
    assert [row.cells.get("device_holder") for row in read(file.getvalue())] == [LINE[3], None]


def test_formula_has_its_last_value() -> None:
    headings = "".join(f"<c t='inlineStr'><is><t>{heading}</t></is></c>" for heading in HEADINGS)
    row = "<c t='str'><f>A1&amp;1</f><v>Cuff &amp; 1</v></c><c><f>1+1</f><v>2</v></c>"
    rows = read(sheet_of(f"<row>{headings}</row>", f"<row>{row}</row>"))
    assert rows[0].cells == {"device_name": "Cuff & 1", "device_mac": "2"}


def test_escape_of_a_character_in_a_workbook_is_read_as_the_character() -> None:
    [row] = read(workbook(HEADINGS, ["Cuff_x000D_ 1_x005F_x0041_", *LINE[1:]]))
    assert row.cells["device_name"] == "Cuff 1_x0041_"


def test_workbook_with_unusual_styles_is_read() -> None:
    styles = zipfile.ZipFile(io.BytesIO(MADE)).read("xl/styles.xml")
    unusual = re.sub(rb"<fill>.*?</fill>", b"<fill/>", styles).replace(b'<family val="2"', b'<family val="34"')
    assert unusual.count(b"<fill/>") > 1
    assert b'"34"' in unusual
    assert read(repacked(MADE, "xl/styles.xml", unusual)) == [Row(2, CELLS, {})]


def test_empty_rows_and_columns_keep_the_numbers_of_the_others() -> None:
    book, file = openpyxl.Workbook(), io.BytesIO()
    for place, row in ((3, HEADINGS), (7, LINE)):
        for column, text in enumerate(row, start=3):
            book.active.cell(place, column, text)
    book.save(file)
    assert read(file.getvalue()) == [Row(7, CELLS, {})]


def test_xlsb_and_ods_are_no_xlsx() -> None:
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
        assert error(file.getvalue()).startswith("The file is no XLSX workbook")


@pytest.mark.parametrize("output", ["", "[0,0,[]]\\n", '[0,0,[]]\\n[0,1,["x'])
def test_process_that_ends_without_a_reason_is_a_failure(
    output: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "reader.py"
    script.write_text(f"print('{output}', end=''); raise SystemExit(3)")
    monkeypatch.setattr(xlsx_reader, "__file__", str(script))
    with pytest.raises(RuntimeError, match="ended with status 3"):
        read(MADE)


def test_process_that_reads_a_workbook_gets_no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "reader.py"
    script.write_text("import os; raise SystemExit(3 if 'SECRET_KEY' in os.environ else 4)")
    monkeypatch.setattr(xlsx_reader, "__file__", str(script))
    monkeypatch.setenv("SECRET_KEY", "x")
    with pytest.raises(RuntimeError, match="ended with status 4"):
        read(MADE)


@settings(deadline=None)
@given(st.data())
def test_a_workbook_with_any_byte_changed_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(MADE)
    for place in data.draw(st.lists(st.integers(0, len(MADE) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    try:
        rows = read(bytes(content))
    except UnreadableFile as refused:
        assert str(refused)  # noqa: PT017
    else:
        assert len(rows) <= 10


def test_line_break_within_a_line_in_one_cell_is_a_space() -> None:
    [row] = read(b'"device_name,device_mac,device_type"\n"a\rb,c,d"\n')
    assert row.cells["device_name"] == "a b"


def test_a_cover_sheet_with_a_cell_of_two_lines_comes_before_the_devices() -> None:
    book = openpyxl.Workbook()
    book.active.append(["Alat RS Harapan\nNovember"])
    sheet = book.create_sheet("Alat")
    sheet.append(["ID", "MAC", "TYPE"])
    sheet.append(["Cuff 1", "d061.aed4.5894", "consumer"])
    file = io.BytesIO()
    book.save(file)
    with spreadsheet.open_sheet(file) as opened:
        assert [row.cells["device_name"] for row in opened.rows] == ["Cuff 1"]
