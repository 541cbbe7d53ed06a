"""Spreadsheets as offices have them: every file here is made as Excel would make it."""

import io
import re
import time as time_
import unicodedata
import zipfile
from datetime import date, datetime, time
from typing import Any

import openpyxl
import pytest
from django.core.exceptions import ValidationError
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from devices import cells, drafts, spreadsheets, workbooks
from devices.cells import Spoilt
from devices.spreadsheets import Row, Unreadable

LINE = ["Cuff 1", "D0:61:AE:D4:58:94", "CONSUMER", "RS Müller"]
CELLS = dict(zip(spreadsheets.COLUMNS, LINE, strict=True))


def read(content: bytes, most: int | None = None) -> list[Row]:
    with spreadsheets.reading(io.BytesIO(content), most) as sheet:
        return list(sheet.rows)


def error(content: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        read(content)
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
    """The workbook with another text in one of its parts."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, text if name == part else old.read(name))
    return file.getvalue()


# --- Encodings and delimiters


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
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
        ";;;HOLDER\nID;MAC;TYPE;\n",
        "ID;MAC;;\n;;TYPE;HOLDER\n",
        "ID;MAC;TYPE;Tempat\n;;;HOLDER\n",
    ],
)
def test_titles_and_merged_cells_may_stand_above_the_headings_and_in_them(above: str) -> None:
    text = f"{above}{';'.join(LINE)}\n{above.splitlines()[-1]}\n{';'.join(LINE)}\n"
    assert [row.cells for row in read(text.encode())] == [CELLS, CELLS]


def test_id_is_the_registrys_where_there_is_a_name_and_else_the_name() -> None:
    assert read(b"ID,MAC,TYPE\n7,x,y")[0].cells == {"device_name": "7", "device_mac": "x", "device_type": "y"}
    assert read(b"ID,device_name,MAC,TYPE\n7,Cuff,x,y")[0].cells["id"] == "7"
    assert read(b"Nama,ID,MAC,TYPE\nCuff,7,x,y")[0].cells["id"] == "7"


def test_beside_ours_a_word_of_the_admin_is_another_column() -> None:
    with spreadsheets.reading(io.BytesIO(b"device_name,Name,MAC,TYPE,NOTE\nCuff,?,x,y,z")) as sheet:
        assert sheet.passed_over == ("Name", "NOTE")
        assert not sheet.has_holders
        assert next(sheet.rows).cells["device_name"] == "Cuff"


def test_a_heading_is_passed_over_without_its_nul_which_postgresql_keeps_nowhere() -> None:
    content = b"device_name,device_mac,device_type,no\0te\nCuff,D061AED45894,CONSUMER,x\n"
    with spreadsheets.reading(io.BytesIO(content)) as sheet:
        assert sheet.passed_over == ("note",)


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
        (1.0e11, Spoilt.NUMBER),
        (112233445500, Spoilt.NUMBER),  # 1122334455E2 is an address too
        (1122334455, Spoilt.NUMBER),  # its zeros were lost
        (1.12e19, Spoilt.NUMBER),
        (0.5, Spoilt.NUMBER),
        (datetime(2026, 5, 12), Spoilt.DATE),  # noqa: DTZ001  (a spreadsheet knows no time zone)
        (date(2026, 5, 12), Spoilt.DATE),
        (time(11, 22, 33), Spoilt.DATE),
        ("#REF!", Spoilt.ERROR),
    ],
)
def test_a_mac_that_excel_has_spoilt_is_told_and_not_guessed(cell: Any, spoilt: Spoilt) -> None:
    [row] = read(workbook(["ID", "MAC", "TYPE"], ["a", cell, "b"]))
    assert row.spoilt == {"device_mac": spoilt}


@pytest.mark.parametrize(
    ("text", "spoilt"),
    [
        ("1.0E+11", Spoilt.NUMBER),
        ("1,12233E+11", Spoilt.NUMBER),
        ("11223344556", Spoilt.NUMBER),
        ("12/05/2026", Spoilt.DATE),
        ("2026-05-12 00:00:00", Spoilt.DATE),
        ("12-Mei-26", Spoilt.DATE),
        ("#NAME?", Spoilt.ERROR),
        ("112233445E11", None),
        ("hello", None),
    ],
)
def test_the_same_is_seen_in_a_text_file(text: str, spoilt: Spoilt | None) -> None:
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
    assert cells.unescaped(cells.escaped(text)) == text


@pytest.mark.parametrize(
    "text", ["=1+1", "+62", "-5", "@sum", "\tx", "\rx", "0012", "1E5", "1-2", "3 A", "Mei 2", "#REF!"]
)
def test_what_a_spreadsheet_program_would_run_or_change_is_escaped(text: str) -> None:
    assert cells.escaped(text) == f"'{text}"


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
def test_whatever_a_program_takes_for_a_delimiter_no_cell_begins_like_a_formula(delimiter: str) -> None:
    names = ["x;=1+1;y", "x|@SUM(1)", "x; -1", "a,b;+1", "=1;=1", "'=1;'=1", 'say "hi";=1', 'x;"=1+1;y']
    file = io.BytesIO()
    spreadsheets.write(file, ".csv", [[str(i), name, *LINE[1:]] for i, name in enumerate(names, 1)])
    found = [cell for line in file.getvalue().decode("utf-8-sig").splitlines() for cell in line.split(delimiter)]
    assert not [cell for cell in found if re.match(r'[\s"]*[=+@-]', cell)]
    assert [row.cells["device_name"] for row in read(file.getvalue())] == names


FORMS = "\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u207a\u2a75"
UNSEEN = ["", "\ufeff", "\u200b", "\u00a0", "\u00ad", "\x01", "\x85", "\u3000", "\u202e", "\u2060 ", " ", "\U000e0020"]


@pytest.mark.parametrize("unseen", UNSEEN, ids=ascii)
def test_formula_in_any_form_behind_anything_unseen_is_escaped(unseen: str) -> None:
    for begin in ["\t", "\r", *cells.FORMULA]:
        for text in (f"{unseen}{begin}1", f"{begin}{unseen}1"):
            assert cells.escaped(text) == f"'{text}", ascii(text)
            assert cells.unescaped(cells.escaped(text)) == text


@pytest.mark.parametrize("unseen", UNSEEN, ids=ascii)
@pytest.mark.parametrize("delimiter", [";", "|", '; "'])
def test_formula_in_any_form_behind_a_delimiter_is_escaped(unseen: str, delimiter: str) -> None:
    for begin in cells.FORMULA:
        text = f"x{delimiter}{unseen}{begin}1"
        assert cells.escaped(text) == f"x{delimiter}{unseen}'{begin}1", ascii(text)
        assert cells.unescaped(cells.escaped(text)) == text


def test_forms_of_formula_characters_are_all_known() -> None:
    forms = {
        character for character in map(chr, range(0x110000)) if unicodedata.normalize("NFKC", character)[:1] in "=+@-"
    }
    assert forms == set(cells.FORMULA)


def _is_name(text: str) -> bool:
    try:
        return drafts.clean_text(text) == text
    except ValidationError:
        return False


CHARACTERS = st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from(["=", "'", ";", "|", '"', " ", *FORMS])
NAMES = st.lists(
    st.text(CHARACTERS, min_size=1, max_size=12).map(drafts.normalize).filter(_is_name), min_size=1, max_size=20
)


@pytest.mark.parametrize("ending", spreadsheets.ENDINGS)
@settings(deadline=None, max_examples=50)
@given(names=NAMES)
def test_untouched_export_of_any_names_is_read_back_as_it_was(ending: str, names: list[str]) -> None:
    rows = [[str(i), name, "D0:61:AE:D4:58:94", "CONSUMER", name] for i, name in enumerate(names, 1)]
    file = io.BytesIO()
    spreadsheets.write(file, ending, rows)
    for row, sent in zip(read(file.getvalue()), rows, strict=True):
        draft, problems = drafts.read(row.cells)
        assert not problems
        assert not row.spoilt
        assert (draft["device_name"], draft["device_holder"]) == (sent[1], drafts.clean_holder(sent[4]))


@pytest.mark.parametrize("text", ["Cuff 1", "1001", "D0:61:AE:D4:58:94", "11:22:33:44:55:66", "RS Mei Indah", "a;b|c"])
def test_what_it_would_leave_alone_is_written_as_it_is(text: str) -> None:
    assert cells.escaped(text) == text


@pytest.mark.parametrize("ending", spreadsheets.ENDINGS)
def test_what_is_written_is_read_back_as_it_was(ending: str) -> None:
    names = ["=1+1", "'quoted", "a,b;c", 'say "hi"', "Müller 测试", "0012", "112233445566", "1.0E+11", "x y"]
    rows = [[str(i), name, "D0:61:AE:D4:58:94", "CONSUMER", "unknown"] for i, name in enumerate(names, 1)]
    file = io.BytesIO()
    assert spreadsheets.write(file, ending, rows) == len(names)
    assert [list(row.cells.values()) for row in read(file.getvalue())] == rows


def test_a_written_workbook_keeps_what_is_typed_into_it_as_text() -> None:
    file = io.BytesIO()
    spreadsheets.write(file, ".xlsx", [["7", *LINE]])
    sheet = openpyxl.load_workbook(file).active
    assert {cell.number_format for row in sheet.iter_rows() for cell in row} == {"@"}
    assert {sheet.column_dimensions[letter].number_format for letter in "ABCDE"} == {"@"}


def test_a_csv_is_given_in_pieces_whatever_its_length() -> None:
    pieces = list(spreadsheets.csv_chunks(["1", *LINE] for _ in range(5_000)))
    assert max(map(len, pieces)) < 2 * spreadsheets.CHUNK
    assert len(read(b"".join(pieces))) == 5_000


def test_a_worksheet_that_cannot_hold_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbooks, "MAX_ROWS", 3)
    assert spreadsheets.write(io.BytesIO(), ".xlsx", [["1", *LINE]] * 2) == 2
    with pytest.raises(Unreadable, match="A worksheet has room for 2 devices"):
        spreadsheets.write(io.BytesIO(), ".xlsx", [["1", *LINE]] * 3)


# --- Workbooks from strangers

SHEET = "xl/worksheets/sheet1.xml"
MADE = workbook(["ID", "MAC", "TYPE", "HOLDER"], LINE)


def test_the_first_worksheet_with_the_headings_is_read() -> None:
    assert read(workbook(["ID", "MAC", "TYPE", "HOLDER"], LINE, cover=True)) == [Row(2, CELLS, {})]
    assert "device_mac" in error(workbook(["ID", "TYPE"], cover=False))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (workbooks.OLE + b"\0" * 600, "The file is in Excel's old format (.xls)."),
        (workbooks.OLE + b"\0" * 60 + workbooks.ENCRYPTED, "The workbook is protected by a password."),
        (MADE[:-300], "The file is no XLSX workbook, or a damaged one."),
        (repacked(MADE, "xl/workbook.xml", b"<x/>"), "The workbook has no worksheet."),
        (repacked(MADE, SHEET, b"<worksheet><sheetData><row r='x'/>"), "The file is no XLSX workbook"),
        (repacked(MADE, SHEET, b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>"), "no XLSX"),
        (repacked(MADE, "xl/styles.xml", b"<!DOCTYPE a [<!ENTITY b 'bb'>]><a>&b;</a>"), "no XLSX"),
    ],
)
def test_a_workbook_that_cannot_be_read_is_told_for_what_it_is(content: bytes, told: str) -> None:
    assert told in error(content)


def test_a_workbook_that_unpacks_to_much_is_refused_before_it_is_unpacked() -> None:
    bomb = repacked(MADE, SHEET, b"<worksheet>" + b" " * workbooks.MAX_WORKSHEETS)
    assert len(bomb) < 200_000
    assert error(bomb).startswith("The workbook is too large when unpacked.")
    assert error(repacked(MADE, "xl/styles.xml", b" " * (workbooks.MAX_STYLES + 1))).startswith("The workbook is too l")


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
BILLION_LAUGHS = f'<!DOCTYPE lolz [<!ENTITY l0 "ha">{LAUGHS}]><x>&l9;</x>'.encode()
EXTERNAL = b'<!DOCTYPE x [<!ENTITY % d SYSTEM "http://127.0.0.1:9/x.dtd"> %d;]><x/>'
PARTS = ["[Content_Types].xml", "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/styles.xml", SHEET]  # what is read


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("attack", [BILLION_LAUGHS, EXTERNAL, BILLION_LAUGHS.decode().encode("utf-16")])
def test_no_part_of_a_workbook_may_declare_an_entity(part: str, attack: bytes) -> None:
    begin = time_.monotonic()
    assert "no XLSX" in error(repacked(MADE, part, attack))
    assert time_.monotonic() - begin < 30


def with_shared_texts(text: bytes) -> bytes:
    """The workbook, with a part of texts that cells refer to."""
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    types = zipfile.ZipFile(io.BytesIO(MADE)).read("[Content_Types].xml")
    told = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'.encode()
    file = io.BytesIO(repacked(MADE, "[Content_Types].xml", types.replace(b"</Types>", told)))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/sharedStrings.xml", text)
    return file.getvalue()


def test_texts_that_are_shared_are_bounded_and_have_no_entities_either() -> None:
    assert "no XLSX" in error(with_shared_texts(BILLION_LAUGHS))
    assert "no XLSX" in error(with_shared_texts(EXTERNAL))
    assert error(with_shared_texts(b" " * (workbooks.MAX_REST + 1))).startswith("The workbook is too large")


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


ROW = "<row r='1'/>"


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "text",
    [
        b"<a>" * (workbooks.MAX_DEPTH + 1) + b"</a>" * (workbooks.MAX_DEPTH + 1),
        b"<a>" + b"<b/>" * 2_000 + b"</a>",
        f"<row xmlns='{workbooks.SHEET_MAIN_NS}'>{'<c/>' * 2_000}</row>".encode(),
        f"<a xmlns='{workbooks.SHEET_MAIN_NS}'>{ROW * 2_000}</a>".encode(),
        b"<a><row " + b" ".join(b"a%d=''" % number for number in range(2_000)) + b"/></a>",
        b"<a><!--" + b"x" * 3 * workbooks.MAX_TAG + b"--></a>",
        b"<a b='" + b"x" * 3 * workbooks.MAX_TAG + b"'/>",
    ],
    ids=["deep", "wide", "a row of many cells", "many rows", "many attributes", "a long comment", "a long attribute"],
)
def test_a_part_that_would_take_much_memory_or_time_is_refused(
    part: str, text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbooks, "MAX_HELD", 1_500)
    monkeypatch.setattr(workbooks, "MAX_TREE", 1_500)
    assert error(repacked(MADE, part, text)).startswith("The workbook is too large when unpacked.")


def test_rows_that_have_ended_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbooks, "MAX_HELD", 1_500)
    rows = [[f"Cuff {number}", *LINE[1:]] for number in range(400)]
    assert len(read(workbook(["ID", "MAC", "TYPE", "HOLDER"], *rows))) == 400
    texts = f'<sst xmlns="{workbooks.SHEET_MAIN_NS}">{"<si><t>Cuff</t></si>" * 1_000}</sst>'.encode()
    assert len(read(with_shared_texts(texts))) == 1


def test_a_workbook_with_more_parts_than_any_has_is_refused() -> None:
    file = io.BytesIO(MADE)
    with zipfile.ZipFile(file, "a") as book:
        for number in range(workbooks.MAX_PARTS):
            book.writestr(f"xl/media/{number}", b"")
    assert error(file.getvalue()).startswith("The workbook is too large")


@pytest.mark.parametrize("reference", ["A1:XFD1048576", "A1:ZZZZ99999999999", "A1048576:A1", "x", ""])
def test_a_worksheet_may_say_what_it_likes_of_its_dimensions(reference: str) -> None:
    sheet = zipfile.ZipFile(io.BytesIO(MADE)).read(SHEET)
    told = re.sub(rb'<dimension ref="[^"]*"', f'<dimension ref="{reference}"'.encode(), sheet)
    assert told != sheet
    begin = time_.monotonic()
    try:
        rows = read(repacked(MADE, SHEET, told), most=10)
    except Unreadable as refused:
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


def test_rows_and_columns_far_out_are_not_filled_up() -> None:
    far = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>%s</sheetData></worksheet>'
    row = b'<row r="%d"><c r="%s%d" t="inlineStr"><is><t>x</t></is></c></row>'
    assert error(repacked(MADE, SHEET, far % (row % (99_999_999_999, b"A", 1)))).startswith("The file is empty.")
    assert error(repacked(MADE, SHEET, far % (row % (1, b"XFD", 1)))).startswith("The file is empty.")


def test_a_file_with_more_lines_than_asked_for_is_refused() -> None:
    text = "ID;MAC;TYPE\n" + "a;b;c\n" * 4
    assert len(read(text.encode(), most=4)) == 4
    with pytest.raises(Unreadable, match="The file has more than 3 devices"):
        read(text.encode(), most=3)


@pytest.mark.filterwarnings("ignore:::openpyxl")  # of a date out of bounds, say, which it reads as an error
@settings(deadline=None)
@given(st.data())
def test_a_workbook_with_any_byte_changed_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(MADE)
    for place in data.draw(st.lists(st.integers(0, len(MADE) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    try:
        rows = read(bytes(content), most=10)
    except Unreadable as refused:
        assert str(refused)  # noqa: PT017
    else:
        assert len(rows) <= 10


@pytest.mark.parametrize("content", [b'"a\rb"\n', b'"device_name,device_mac,device_type"\n"a\rb,c,d"\n'])
def test_a_line_that_ends_within_a_cell_of_a_line_in_one_cell_is_refused(content: bytes) -> None:
    with pytest.raises(Unreadable), spreadsheets.reading(io.BytesIO(content)) as sheet:
        list(sheet.rows)


def test_a_cover_sheet_with_a_cell_of_two_lines_comes_before_the_devices() -> None:
    book = openpyxl.Workbook()
    book.active.append(["Alat RS Harapan\nNovember"])
    sheet = book.create_sheet("Alat")
    sheet.append(["ID", "MAC", "TYPE"])
    sheet.append(["Cuff 1", "d061.aed4.5894", "consumer"])
    file = io.BytesIO()
    book.save(file)
    with spreadsheets.reading(file) as opened:
        assert [row.cells["device_name"] for row in opened.rows] == ["Cuff 1"]
