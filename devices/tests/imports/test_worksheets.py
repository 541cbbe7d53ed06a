"""Workbooks with several worksheets, merged cells, and hidden rows, columns and worksheets."""

import io
from typing import Any

import openpyxl
import pytest
from django.utils import translation

from devices.access.actor import IMPORT
from devices.imports import plan
from devices.imports.files.sheet_rows import place
from devices.tests.support.workbooks import (
    CELLS,
    HEADER,
    LINE,
    SHEET,
    part_of,
    read_error,
    read_rows,
    read_sheet,
    with_parts,
)


def book(**sheets: list[list[Any]]) -> Any:
    """Return a workbook with these rows in worksheets of these names."""
    made = openpyxl.Workbook()
    made.remove(made.worksheets[0])
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
    return made


def saved(made: Any) -> bytes:
    file = io.BytesIO()
    made.save(file)
    return file.getvalue()


def line(number: int, hospital: str | None = "RS Tes") -> list[str | None]:
    return [f"Cuff {number}", f"02:C0:00:00:00:{number:02X}", "CONSUMER", hospital]


# --- Several worksheets


def test_all_worksheets_with_headers_are_read_and_named() -> None:
    content = saved(book(Cover=[["Inventaris"]], First=[HEADER, line(1)], Second=[["Lantai 2"], HEADER, [], line(2)]))
    sheet, rows = read_sheet(content)
    assert [(place(row.number), row.cells["device_name"]) for row in rows] == [
        ("First, row 2", "Cuff 1"),
        ("Second, row 4", "Cuff 2"),
    ]
    assert (sheet.sheets, sheet.ignored_sheets) == (["First", "Second"], ["Cover"])
    assert len({row.number for row in rows}) == 2


def test_rows_of_one_worksheet_have_their_number_only() -> None:
    content = saved(book(List=[HEADER, line(1)], Sheet2=[], Sheet3=[]))
    sheet, [row] = read_sheet(content)
    assert (row.number, place(row.number), sheet.sheets, sheet.ignored_sheets) == (2, "row 2", [], [])


def test_each_worksheet_has_its_own_columns() -> None:
    second = [["Catatan", "HOLDER", "TYPE", "MAC", "ID"], ["x", "RS Dua", "CORPORATE", "m", "Cuff 2"]]
    sheet, rows = read_sheet(saved(book(A=[[*HEADER[:3], "Note"], [*line(1)[:3], "x"]], B=second)))
    assert rows[1].cells == {
        "device_name": "Cuff 2",
        "device_mac": "m",
        "device_type": "CORPORATE",
        "device_holder": "RS Dua",
    }
    assert (sheet.ignored_columns, sheet.has_hospitals) == (["Note", "Catatan"], True)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ([["ID", "MAC", "TYPE", "HOLDR"]], "Worksheet “B”: The column “HOLDR” is unknown. Did you mean “Hospital”?"),
        ([["ID", "MAK", "TYPE", "HOLDER"]], "Worksheet “B”: Missing columns: MAC address."),
        ([["ID", "MAC", "TYPE", "TYPE"]], "Worksheet “B”: More than one column is “Type”: TYPE, TYPE."),
    ],
)
def test_header_with_an_error_on_a_further_worksheet_is_not_skipped(second: list[list[Any]], message: str) -> None:
    assert read_error(saved(book(A=[HEADER, line(1)], B=second))).startswith(message)


def test_summary_that_shares_some_headers_is_reported_as_ignored() -> None:
    sheet, rows = read_sheet(saved(book(Rekap=[["HOLDER", "TYPE", "Total"], ["RS", "C", 3]], A=[HEADER, line(1)])))
    assert (len(rows), sheet.ignored_sheets) == (1, ["Rekap"])


def test_message_is_about_the_worksheet_most_like_a_list() -> None:
    assert "Found: ID, TYPE." in read_error(saved(book(Cover=[["Inventaris"]], List=[["ID", "TYPE"]])))


@pytest.mark.django_db
def test_duplicates_across_worksheets_name_the_worksheet() -> None:
    content = saved(book(A=[HEADER, line(1)], B=[HEADER, line(2), line(1)]))
    planned = plan.make_plan(read_rows(content), IMPORT)
    assert [row.problems for row in planned[:2]] == [[], []]
    assert {str(problem.message) for problem in planned[2].problems} == {
        "The same name is in A, row 2.",
        "The same MAC address is in A, row 2.",
    }
    assert {place(problem.index) for problem in planned[2].problems} == {"B, row 3"}
    with translation.override("id"):
        assert place(planned[2].source.number) == "B, baris 3"


# --- Hidden worksheets, rows and columns


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_hidden_worksheet_is_reported_and_not_read(state: str) -> None:
    made = book(List=[HEADER, line(1)], Old=[HEADER, line(2)])
    made["Old"].sheet_state = state
    sheet, rows = read_sheet(saved(made))
    assert ([row.number for row in rows], sheet.hidden_sheets, sheet.sheets) == ([2], ["Old"], [])


def test_hidden_rows_and_columns_are_read_and_reported() -> None:
    made = book(List=[HEADER, *(line(number) for number in range(1, 6))])
    for number in (1, 3, 4, 9):
        made["List"].row_dimensions[number].hidden = True
    for letter in ("D", "J"):
        made["List"].column_dimensions[letter].hidden = True
    sheet, rows = read_sheet(saved(made))
    assert (len(rows), sheet.hidden_rows, sheet.hidden_columns) == (5, 2, ["HOLDER"])


def test_rows_hidden_by_a_filter_are_counted_without_row_numbers() -> None:
    content = saved(book(List=[HEADER, line(1), line(2), line(3)]))
    xml = part_of(content, SHEET).replace('<row r="3"', '<row hidden="true" ht="0"').replace('<row r="4"', "<row")
    assert read_sheet(with_parts(content, {SHEET: xml}))[0].hidden_rows == 1


def test_nothing_is_reported_of_a_plain_workbook() -> None:
    sheet, _rows = read_sheet(saved(book(List=[HEADER, line(1)])))
    assert not any([sheet.hidden_rows, sheet.hidden_columns, sheet.hidden_sheets, sheet.ignored_sheets, sheet.sheets])


# --- Merged cells


def merged(*ranges: str, rows: list[list[Any]]) -> bytes:
    made = book(List=[HEADER, *rows])
    for cells in ranges:
        made["List"].merge_cells(cells)
    return saved(made)


def test_cells_merged_downwards_count_for_all_of_their_rows() -> None:
    content = merged("D2:D4", "C2:C3", rows=[line(1), line(2), line(3), line(4, None)])
    values = [(row.cells.get("device_type"), row.cells.get("device_holder")) for row in read_rows(content)]
    assert values == [
        ("CONSUMER", "RS Tes"),
        ("CONSUMER", "RS Tes"),
        ("CONSUMER", "RS Tes"),
        ("CONSUMER", None),
    ]


def test_cells_merged_sideways_and_downwards_count_in_their_first_column() -> None:
    content = merged("D2:F3", rows=[[*line(1), "x"], line(2)])
    assert [row.cells["device_holder"] for row in read_rows(content)] == ["RS Tes", "RS Tes"]


def test_merged_cells_over_blank_rows_add_no_rows() -> None:
    content = merged("D2:D9", "C2:C9", "A6:A8", rows=[line(1), line(2), [None] * 4, [], [], [None] * 9 + ["note"]])
    assert [row.number for row in read_rows(content)] == [2, 3]


def test_merged_blocks_below_each_other_keep_their_own_values() -> None:
    content = merged("D2:D3", "D4:D5", rows=[line(1), line(2), line(3, "RS Dua"), line(4), line(5, None)])
    values = [row.cells.get("device_holder") for row in read_rows(content)]
    assert values == ["RS Tes", "RS Tes", "RS Dua", "RS Dua", None]


def test_merged_number_keeps_its_type() -> None:
    content = merged("D2:D3", rows=[line(1, 0.5), line(2)])  # type: ignore[arg-type]
    assert [row.cells["device_holder"] for row in read_rows(content)] == ["0.5", "0.5"]


@pytest.mark.django_db
def test_merged_name_or_mac_is_a_duplicate() -> None:
    rows = read_rows(merged("A2:A3", "B4:B5", rows=[line(1), line(2), line(3), line(4)]))
    problems = [{(problem.field, problem.code) for problem in row.problems} for row in plan.make_plan(rows, IMPORT)]
    assert problems == [set(), {("device_name", "duplicate")}, set(), {("device_mac", "duplicate")}]


def test_headers_merged_downwards_and_sideways_are_found() -> None:
    made = book(List=[["Alat", None, None, "HOLDER"], ["ID", "MAC", "TYPE", None], LINE])
    made["List"].merge_cells("A1:C1")
    made["List"].merge_cells("D1:D2")
    assert [row.cells for row in read_rows(saved(made))] == [CELLS]


def test_header_merged_with_rows_below_is_not_their_value() -> None:
    content = merged("D1:D3", rows=[line(1, None), line(2, None), line(3)])
    assert [row.cells.get("device_holder") for row in read_rows(content)] == [None, None, "RS Tes"]


def test_title_merged_over_several_rows_adds_no_rows() -> None:
    made = book(List=[["Daftar alat"], [], [], HEADER, LINE])
    made["List"].merge_cells("A1:D3")
    assert [row.cells for row in read_rows(saved(made))] == [CELLS]


# --- Rows without values in known columns


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_row_with_a_remark_only_is_skipped(ending: str) -> None:
    rows = [[*HEADER, "Note"], [*LINE, "x"], ["", "", "", "", "Total: 1"], ["", " ", "", "", "checked"]]
    content = "\n".join(",".join(row) for row in rows).encode() if ending == "csv" else saved(book(List=rows))
    assert [row.cells for row in read_rows(content)] == [CELLS]


@pytest.mark.parametrize("cell", [7, 7.0, "7", " 7 ", "7.0", "7,00"])
def test_id_is_read_from_a_number_and_from_a_text(cell: Any) -> None:
    header = ["id", "device_name", "device_mac", "device_type"]
    [row] = read_rows(saved(book(List=[header, [cell, *LINE[:3]]])))
    assert plan._parse_id(row.cells["id"]) == 7
