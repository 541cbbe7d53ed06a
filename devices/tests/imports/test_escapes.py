"""Characters that a workbook has as `_xHHHH_`: ECMA-376 part 1, 22.4.2.4."""

import io
import re
from xml.sax.saxutils import escape

import pytest

from devices.imports.files import spreadsheet
from devices.registry import device_fields
from devices.tests.support.workbooks import (
    HEADER_ROW,
    LINE,
    NS,
    inline,
    names_of,
    part_of,
    read_rows,
    row_of,
    sheet_of,
    with_parts,
    with_shared_texts,
    workbook,
)

ESCAPES = [
    ("Cuff 1_x000D_", "Cuff 1"),
    ("Cuff_x000a_1", "Cuff 1"),
    ("Cuff_x0009_1", "Cuff 1"),
    ("Caf_x00E9_", "Café"),
    ("Caf_x00e9_", "Café"),
    ("_x4E2D__x6587_", "中文"),
    ("_xD83D__xDE00_", "😀"),
    ("_x0041_", "A"),
    ("_x005F_x0041_", "_x0041_"),
    ("_x005F_x005F_x005F_x0041_", "_x005F_x0041_"),
    ("a_x005F__x0042_", "a_B"),
    ("_x005F_x0041__x0042_", "_x0041_B"),
    ("x0041_ _x004_ _x00410_ _xGGGG_ _X0041_", "x0041_ _x004_ _x00410_ _xGGGG_ _X0041_"),
    ("&amp;_x0026_&lt;", "&&<"),
]


OVERLAPPING = ["_x005F_x0041_", "_x0041_x0042_", "a_x0041_x0042_x0043_ _x0041_x0042_b", "_x0041__x0042_x0043_"]
LIKE_XML = ["<r><t>x</t></r>", "<r>a & b</r>", "<r></r>", "<r>_x0041_x0042_</r>", "<r>", "<si><t>x</t></si>"]


def shared(text: str) -> bytes:
    content = with_shared_texts(f'<sst xmlns="{NS}"><si>{text}</si></sst>'.encode())
    cells = row_of('<c t="s"><v>0</v></c>', *LINE[1:])
    return with_parts(
        content, {"xl/worksheets/sheet1.xml": part_of(sheet_of(HEADER_ROW, cells), "xl/worksheets/sheet1.xml")}
    )


@pytest.mark.parametrize(("written", "text"), ESCAPES)
@pytest.mark.parametrize("kind", ["shared", "shared rich text", "inline", "inline rich text", "formula"])
def test_escaped_character_is_read_from_any_kind_of_text(kind: str, written: str, text: str) -> None:
    half = len(written) if "_" in written else 1
    rich = f"<r><t>{written[:half]}</t></r><r><rPr><b/></rPr><t>{written[half:]}</t></r>"
    content = {
        "shared": lambda: shared(f"<t>{written}</t>"),
        "shared rich text": lambda: shared(rich),
        "inline": lambda: sheet_of(HEADER_ROW, row_of(inline(written), *LINE[1:])),
        "inline rich text": lambda: sheet_of(HEADER_ROW, row_of(f'<c t="inlineStr"><is>{rich}</is></c>', *LINE[1:])),
        "formula": lambda: sheet_of(HEADER_ROW, row_of(f'<c t="str"><f>A1</f><v>{written}</v></c>', *LINE[1:])),
    }[kind]()
    assert names_of(content) == [text]


def test_escaped_characters_are_read_in_headers_and_all_columns() -> None:
    rows = [
        ["device_name_x000D_", "device_mac_x000A_", "device_type", "_x0064_evice_holder"],
        [*LINE[:3], "RS Tes_x000D_"],
    ]
    content = sheet_of(*(row_of(*map(inline, row)) for row in rows))
    assert read_rows(content)[0].cells["device_holder"] == "RS Tes"


@pytest.mark.parametrize("written", ["Cuff_x0000_", "_xD83D_", "_xDE00__xD83D_", "_xFFFE_", "_x0001_", "_x202E_x"])
def test_escaped_character_that_no_name_may_have_is_rejected_in_its_row(written: str) -> None:
    [row] = read_rows(sheet_of(HEADER_ROW, row_of(inline(written), *LINE[1:])))
    _item, problems = device_fields.validate(row.cells)
    assert [problem.field for problem in problems] == ["device_name"]


@pytest.mark.parametrize(
    "name",
    [
        "probe_x0041_7",
        "_x000D_",
        "_x005F_",
        "_x005F_x0041_",
        "_xd83d__xde00_",
        "a_x00e9_",
        "_x0041",
        "😀 中文",
        *OVERLAPPING,
        *LIKE_XML,
    ],
)
@pytest.mark.parametrize("ending", spreadsheet.ENDINGS)
def test_name_like_an_escape_survives_export_and_import(name: str, ending: str) -> None:
    file = io.BytesIO()
    spreadsheet.write(file, ending, [["1", name, *LINE[1:3], name]])
    [row] = read_rows(file.getvalue())
    assert (row.cells["device_name"], row.cells["device_holder"]) == (name, name)


def test_name_like_an_escape_is_written_so_that_excel_shows_it() -> None:
    file = io.BytesIO()
    spreadsheet.write(file, ".xlsx", [["1", "probe_x0041_7", *LINE[1:]]])
    assert escape("probe_x005F_x0041_7") in part_of(file.getvalue(), "xl/worksheets/sheet1.xml")


def test_overlapping_escapes_are_written_so_that_excel_shows_them() -> None:
    file = io.BytesIO()
    spreadsheet.write(file, ".xlsx", [["1", "_x005F_x0041_", *LINE[1:]]])
    texts = re.findall("<t>([^<]*)</t>", part_of(file.getvalue(), "xl/worksheets/sheet1.xml"))
    assert texts[6:9] == ["_", "x005F_", "x0041_"]  # parts of one cell: none of them looks like an escape


def test_text_from_excel_that_looks_like_an_escape_is_kept() -> None:
    assert names_of(workbook(["ID", "MAC", "TYPE"], ["a_x005F_x0041_", "b", "c"])) == ["a_x0041_"]
