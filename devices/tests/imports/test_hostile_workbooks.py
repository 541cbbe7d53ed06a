"""Workbooks that are made to exhaust memory or time, or to read other files."""

import io
import re
import resource
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.imports.files import xlsx_package, xlsx_reader
from devices.imports.files.header import UnreadableFile
from devices.imports.files.spreadsheet import Row
from devices.tests.support.workbooks import (
    CELLS,
    HEADER,
    LINE,
    MADE,
    NS,
    PARTS,
    SHEET,
    read_error,
    read_rows,
    repacked,
    sheet_of,
    with_parts,
    with_shared_texts,
    workbook,
)

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


BILLION_LAUGHS = f'<!DOCTYPE lolz [<!ENTITY l0 "ha">{LAUGHS}]><x>&l9;</x>'.encode()


EXTERNAL = b'<!DOCTYPE x [<!ENTITY % d SYSTEM "http://127.0.0.1:9/x.dtd"> %d;]><x/>'


def test_too_large_workbook_is_rejected_before_unpacking() -> None:
    bomb = repacked(MADE, SHEET, b"<worksheet>" + b" " * xlsx_package.MAX_UNPACKED)
    assert len(bomb) < 200_000
    assert read_error(bomb).startswith("The workbook is too large when unpacked.")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("attack", [BILLION_LAUGHS, EXTERNAL, BILLION_LAUGHS.decode().encode("utf-16")])
def test_entity_in_any_part_of_a_workbook_is_rejected(part: str, attack: bytes) -> None:
    started = time.monotonic()
    assert "not a valid XLSX" in read_error(repacked(MADE, part, attack))
    assert time.monotonic() - started < 30


def test_shared_strings_are_limited_and_can_have_no_entities() -> None:
    assert "not a valid XLSX" in read_error(with_shared_texts(BILLION_LAUGHS))
    assert "not a valid XLSX" in read_error(with_shared_texts(EXTERNAL))
    assert read_error(with_shared_texts(b" " * xlsx_package.MAX_UNPACKED)).startswith("The workbook is too large")


def test_archive_in_a_workbook_is_not_opened() -> None:
    file = io.BytesIO(MADE)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as book:
        bomb = io.BytesIO()
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as inner:
            inner.writestr("0.xml", b" " * 50_000_000)
        for number in range(10):
            book.writestr(f"xl/embeddings/{number}.zip", bomb.getvalue())
    assert read_rows(file.getvalue()) == [Row(2, CELLS, {})]


def test_workbook_is_not_unpacked_beyond_its_declared_size() -> None:
    bomb = bytearray(repacked(MADE, SHEET, b"<worksheet>" + b" " * 50_000_000))
    size = (50_000_011).to_bytes(4, "little")
    assert bomb.count(size) == 2  # before the part, and in the directory
    bomb = bomb.replace(size, (100).to_bytes(4, "little"))
    assert "not a valid XLSX" in read_error(bytes(bomb))


def test_workbook_with_too_many_parts_is_rejected() -> None:
    file = io.BytesIO(MADE)
    with zipfile.ZipFile(file, "a") as book:
        for number in range(xlsx_package.MAX_PARTS):
            book.writestr(f"xl/media/{number}", b"")
    assert read_error(file.getvalue()).startswith("The workbook is too large")


@pytest.mark.parametrize("reference", ["A1:XFD1048576", "A1:ZZZZ99999999999", "A1048576:A1", "x", ""])
def test_declared_dimensions_of_a_worksheet_are_not_trusted(reference: str) -> None:
    sheet = zipfile.ZipFile(io.BytesIO(MADE)).read(SHEET)
    changed = re.sub(rb'<dimension ref="[^"]*"', f'<dimension ref="{reference}"'.encode(), sheet)
    assert changed != sheet
    started = time.monotonic()
    try:
        rows = read_rows(repacked(MADE, SHEET, changed))
    except UnreadableFile as error:
        assert str(error)  # noqa: PT017
    else:
        assert rows == [Row(2, CELLS, {})]
    assert time.monotonic() - started < 30


def test_formula_in_a_workbook_is_not_executed() -> None:
    assert read_rows(workbook(HEADER, ["=1+1", *LINE[1:]]))[0].cells.get("device_name") in (
        None,
        "",
    )


def sheet_xml(rows: str, after: str = "") -> str:
    return f'<worksheet xmlns="{NS}"><sheetData>{rows}</sheetData>{after}</worksheet>'


def cell(place: str, value: str = "<is><t>x</t></is>", kind: str = "inlineStr") -> str:
    return f'<row r="{place.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")}"><c r="{place}" t="{kind}">{value}</c></row>'


def test_distant_cells_do_not_fill_memory() -> None:
    assert read_error(sheet_of(cell("XFD1"))).startswith("Missing columns")
    assert read_error(sheet_of(cell("A1048576"))).startswith("Missing columns")
    assert read_error(sheet_of(cell("A1048577"))).startswith("The file is not a valid XLSX workbook")
    assert read_error(sheet_of(cell("A99999999999"))).startswith("The file is not a valid XLSX workbook")
    assert read_error(sheet_of(cell("A1"), cell("XFD1048576"))).startswith("The workbook is too large when unpacked.")


NUMBERS = '<numFmts><numFmt numFmtId="164" formatCode="00000"/></numFmts>'
STYLE = f'<styleSheet xmlns="{NS}">{NUMBERS}<cellXfs><xf numFmtId="164"/></cellXfs></styleSheet>'
MANY = 400_000


@pytest.mark.parametrize(
    "parts",
    [
        {SHEET: sheet_xml(f"<row>{'<c s=' * MANY}</row>")},
        {SHEET: sheet_xml("<c" + ' s="0"' * MANY)},
        {SHEET: sheet_xml('<c s="0"><f>' * MANY)},
        {SHEET: sheet_xml('<c s="0"><v>1</v></c>' * MANY)},
        {SHEET: sheet_xml('<row r="1" hidden="1"/>' * MANY)},
        {SHEET: sheet_xml('<row hidden="1" ' + 'r="1" ' * MANY)},
        {SHEET: sheet_xml("", '<mergeCell ref="A1:A1048576"/>' * MANY)},
        {SHEET: sheet_xml('<c t="inlineStr"><is><t>' + "_x0041_" * MANY + "</t></is></c>")},
        {SHEET: sheet_xml('<c t="inlineStr"><is><t>' + "_x" * MANY + "</t></is></c>")},
        {SHEET: sheet_xml('<c t="d"><v>1</v></c>' * MANY)},
        {"xl/styles.xml": f"<styleSheet>{NUMBERS * MANY}</styleSheet>"},
        {"xl/styles.xml": f"<styleSheet><cellXfs>{'<xf/>' * MANY}</cellXfs></styleSheet>"},
        {"xl/styles.xml": STYLE.replace("00000", "0" * MANY)},
        {"xl/styles.xml": STYLE.replace("00000", "[" * MANY)},
        {"xl/workbook.xml": f"<workbook><sheets>{'<sheet/>' * MANY}</sheets></workbook>"},
        {"xl/_rels/workbook.xml.rels": f"<x>{'<Relationship/>' * MANY}</x>"},
        {"xl/workbook.xml": "<a>" * MANY},
    ],
)
def test_parts_that_are_prepared_for_calamine_take_little_time(parts: dict[str, str]) -> None:
    content = with_parts(MADE, {"xl/styles.xml": STYLE, **parts})
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with suppress(UnreadableFile):
        read_rows(content)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5


def test_all_worksheets_together_are_limited() -> None:
    sheet = sheet_xml(" " * (xlsx_package.MAX_UNPACKED // 3))
    names = range(1, 5)
    book = "".join(f'<sheet name="{name}" r:id="{name}"/>' for name in names)
    rels = "".join(f'<Relationship Id="{name}" Type="/worksheet" Target="{name}.xml"/>' for name in names)
    parts = {
        "xl/workbook.xml": f"<workbook><sheets>{book}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f"<Relationships>{rels}</Relationships>",
        **{f"xl/{name}.xml": sheet for name in names},
    }
    assert read_error(with_parts(MADE, parts)).startswith("The workbook is too large when unpacked.")


@pytest.mark.parametrize(
    "target", ["../../../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:9/x"]
)
def test_target_outside_the_workbook_is_not_opened(target: str) -> None:
    rels = f'<Relationships><Relationship Id="rId1" Type="/worksheet" Target="{target}"/></Relationships>'
    assert "not a valid XLSX" in read_error(with_parts(MADE, {"xl/_rels/workbook.xml.rels": rels}))


@settings(deadline=None)
@given(st.data())
def test_workbook_with_changed_bytes_is_read_or_rejected(data: st.DataObject) -> None:
    content = bytearray(MADE)
    for place in data.draw(st.lists(st.integers(0, len(MADE) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    try:
        rows = read_rows(bytes(content))
    except UnreadableFile as error:
        assert str(error)  # noqa: PT017
    else:
        assert len(rows) <= 10


@pytest.mark.parametrize("output", ["", "[0,0,[]]\\n", '[0,0,[]]\\n[0,1,["x'])
def test_reader_process_that_ends_unexpectedly_is_a_failure(
    output: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "reader.py"
    script.write_text(f"print('{output}', end=''); raise SystemExit(3)")
    monkeypatch.setattr(xlsx_reader, "__file__", str(script))
    with pytest.raises(RuntimeError, match="ended with status 3"):
        read_rows(MADE)


def test_reader_process_gets_no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "reader.py"
    script.write_text("import os; raise SystemExit(3 if 'SECRET_KEY' in os.environ else 4)")
    monkeypatch.setattr(xlsx_reader, "__file__", str(script))
    monkeypatch.setenv("SECRET_KEY", "x")
    with pytest.raises(RuntimeError, match="ended with status 4"):
        read_rows(MADE)
