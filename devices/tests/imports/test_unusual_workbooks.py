"""Workbooks that Excel opens, and that other programs write in unusual ways."""

import re
from collections.abc import Mapping

import pytest

from devices.imports.files.spreadsheet import Row
from devices.tests.support.workbooks import (
    CELLS,
    HEADER,
    HEADER_ROW,
    LINE,
    MADE,
    NS,
    SHEET,
    inline,
    part_of,
    read_error,
    read_rows,
    row_of,
    sheet_of,
    with_parts,
    with_shared_texts,
)

ONE = [Row(2, CELLS, {})]
STYLES, BOOK, RELS, TYPES = "xl/styles.xml", "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "[Content_Types].xml"
STRICT = {
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main": "http://purl.oclc.org/ooxml/spreadsheetml/main",
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships": (
        "http://purl.oclc.org/ooxml/officeDocument/relationships"
    ),
}


def style_sheet(content: str) -> str:
    return f'<styleSheet xmlns="{NS}">{content}</styleSheet>'


XFS = '<cellXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellXfs>'


@pytest.mark.parametrize(
    "styles",
    [
        "<fills><fill/></fills>",
        '<fonts><font><family val="34"/></font></fonts>',
        '<fonts><font><color rgb="#F00"/></font></fonts>',
        '<fonts><font><u val="wavy"/><sz val="x"/><charset val="999"/></font></fonts>',
        '<fills><fill><patternFill patternType="plaid"/></fill></fills>',
        '<fills><fill><patternFill><extLst><ext uri="x"/></extLst></patternFill></fill></fills>',
        '<borders><border><left style="zigzag"/></border></borders>',
        '<cellStyles><cellStyle xfId="0"/><cellStyle name="" xfId="99" builtinId="x"/></cellStyles>',
        '<cellStyleXfs><xf numFmtId="x"/></cellStyleXfs>',
        '<dxfs><dxf><numFmt numFmtId="x"/></dxf></dxfs><tableStyles count="x"/><colors><indexedColors/></colors>',
        '<numFmts><numFmt numFmtId="164"/><numFmt formatCode="0"/></numFmts>',
        '<numFmts><numFmt numFmtId="164" formatCode="[$-x] &quot;open"/></numFmts>',
        '<x14:slicerStyles defaultSlicerStyle="x"/><mc:AlternateContent><mc:Choice/></mc:AlternateContent>',
    ],
)
def test_unusual_styles_do_not_make_a_workbook_unreadable(styles: str) -> None:
    assert read_rows(with_parts(MADE, {STYLES: style_sheet(styles + XFS)})) == ONE
    assert read_rows(with_parts(MADE, {STYLES: style_sheet(XFS + styles)})) == ONE


@pytest.mark.parametrize(
    "parts",
    [
        {STYLES: None},
        {STYLES: "<styleSheet/>"},
        {"docProps/core.xml": "<cp:coreProperties><dcterms:created> 2026-11-28 07:00 </dcterms:created>"},
        {"docProps/core.xml": None, "docProps/app.xml": None},
        {"docProps/app.xml": "<Properties><TotalTime>x</TotalTime><Company>&nbsp;</Company>"},
        {"docProps/custom.xml": "<Properties><property><vt:filetime>yesterday</vt:filetime></property>"},
        {"xl/theme/theme1.xml": "<a:theme"},
        {"xl/theme/theme1.xml": None, "xl/calcChain.xml": "<calcChain", "xl/metadata.xml": "\0"},
        {"xl/drawings/drawing1.xml": "<x", "xl/drawings/vmlDrawing1.vml": "<br>", "xl/comments1.xml": "x"},
        {"xl/charts/chart1.xml": "<c:chart", "xl/media/image1.png": b"\x89PNG", "xl/printerSettings/1.bin": b"\0"},
        {"xl/pivotCache/pivotCacheRecords1.xml": b"<x>" + b" " * 100_000_000, "xl/tables/table1.xml": "<table"},
        {"xl/externalLinks/externalLink1.xml": "<!DOCTYPE x>", "customXml/item1.xml": "<!DOCTYPE x><x/>"},
        {"_rels/.rels": None},
        {TYPES: None},
    ],
)
def test_parts_that_are_not_read_do_not_make_a_workbook_unreadable(parts: Mapping[str, str | bytes | None]) -> None:
    assert read_rows(with_parts(MADE, parts)) == ONE


@pytest.mark.parametrize(
    "names",
    [
        '<definedName name="_xlnm._FilterDatabase" localSheetId="9" hidden="1">#REF!</definedName>',
        '<definedName name="Alat">#REF!$A$1:&amp;</definedName><definedName/>',
        '<definedName name="x">{broken</definedName>',
    ],
)
def test_defined_names_do_not_make_a_workbook_unreadable(names: str) -> None:
    book = part_of(MADE, BOOK).replace("</sheets>", f"</sheets><definedNames>{names}</definedNames>")
    assert read_rows(with_parts(MADE, {BOOK: book})) == ONE


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '<dataValidations><dataValidation sqref="x" type="planet"/></dataValidations>'),
        ("", '<conditionalFormatting sqref=""><cfRule type="x" priority="x"/></conditionalFormatting>'),
        ("", '<drawing r:id="rId9"/><legacyDrawing r:id="rId8"/><tableParts><tablePart r:id="rId7"/></tableParts>'),
        ("", '<hyperlinks><hyperlink ref="A1" r:id="rId6"/></hyperlinks><pageSetup orientation="x" paperSize="x"/>'),
        ('<dimension ref="x"/>', ""),
        ("<dimension/>", ""),
        ('<dimension ref="A1:B2"></dimension>', ""),
        ('<sheetPr><tabColor rgb="#F00"/></sheetPr><sheetViews><sheetView view="x"/></sheetViews>', ""),
        ('<cols><col min="1" max="16384" width="x" customWidth="x"/></cols>', '<extLst><ext uri="{x}"/></extLst>'),
    ],
)
def test_settings_of_a_worksheet_do_not_make_it_unreadable(before: str, after: str) -> None:
    rows = HEADER_ROW + row_of(*LINE)
    sheet = f'<worksheet xmlns="{NS}">{before}<sheetData>{rows}</sheetData>{after}</worksheet>'
    assert read_rows(with_parts(MADE, {SHEET: sheet})) == ONE


def test_strict_workbook_is_read() -> None:
    strict = {}
    for name in (BOOK, RELS, STYLES, SHEET, "_rels/.rels"):
        text = part_of(MADE, name)
        for transitional, namespace in STRICT.items():
            text = text.replace(transitional, namespace)
        strict[name] = text
    assert read_rows(with_parts(MADE, strict)) == ONE


@pytest.mark.parametrize("date", ["2026-11-28", "2026-11-28T07:00:00", "2026-11-28T00:00:00Z", "07:00", "P1D"])
def test_date_of_a_strict_workbook_is_reported(date: str) -> None:
    [row] = read_rows(sheet_of(HEADER_ROW, row_of(f'<c r="A2" t="d"><v>{date}</v></c>', *LINE[1:])))
    assert (row.cells["device_name"], row.conversions) == (date, {"device_name": "date"})


@pytest.mark.parametrize(
    "target",
    [
        "/xl/worksheets/sheet1.xml",
        "worksheets\\sheet1.xml",
        "\\xl\\worksheets\\sheet1.xml",
        "Worksheets/Sheet1.XML",
        "./worksheets/sheet1.xml",
        "../xl/worksheets/sheet1.xml",
        "worksheets/sheet%31.xml",
    ],
)
def test_worksheet_is_found_by_any_form_of_its_target(target: str) -> None:
    rels = re.sub(r'Target="[^"]*sheet1.xml"', lambda _match: f'Target="{target}"', part_of(MADE, RELS))
    assert target in rels
    assert read_rows(with_parts(MADE, {RELS: rels})) == ONE


@pytest.mark.parametrize(
    "changed",
    [
        lambda name: name.replace("xl/", "XL/"),
        lambda name: name.replace("/", "\\"),
        lambda name: name.upper(),
        lambda name: f"/{name}",
        lambda name: name.replace("sheet1.xml", "Sheet1.xml"),
    ],
)
def test_parts_are_found_by_any_form_of_their_names(changed: object) -> None:
    texts = f'<sst xmlns="{NS}"><si><t>{LINE[0]}</t></si></sst>'
    names = [TYPES, BOOK, RELS, STYLES, SHEET, "_rels/.rels", "xl/sharedStrings.xml"]
    content = with_shared_texts(texts.encode())
    cells = part_of(sheet_of(HEADER_ROW, row_of('<c t="s"><v>0</v></c>', *LINE[1:])), SHEET)
    content = with_parts(content, {SHEET: cells})
    parts = {name: part_of(content, name) for name in names}
    moved = {**dict.fromkeys(names), **{changed(name): text for name, text in parts.items()}}  # type: ignore[operator]
    assert read_rows(with_parts(content, moved)) == ONE


def test_workbook_in_another_folder_is_read() -> None:
    names = {
        BOOK: "office/book2.xml",
        RELS: "office/_rels/book2.xml.rels",
        SHEET: "office/s.xml",
        STYLES: "office/st.xml",
    }
    parts = {new: part_of(MADE, old) for old, new in names.items()}
    parts["office/_rels/book2.xml.rels"] = (
        re.sub(r'Target="[^"]*sheet1.xml"', 'Target="s.xml"', parts["office/_rels/book2.xml.rels"])
        .replace("/xl/styles.xml", "st.xml")
        .replace('"styles.xml"', '"st.xml"')
    )
    rels = re.sub("(/?)xl/workbook.xml", r"\1office/book2.xml", part_of(MADE, "_rels/.rels"))
    assert read_rows(with_parts(MADE, {**dict.fromkeys(names), **parts, "_rels/.rels": rels})) == ONE


@pytest.mark.parametrize("prefix", ["x:", "ns0:"])
def test_elements_and_relationships_with_a_prefix_are_read(prefix: str) -> None:
    def prefixed(text: str) -> str:
        return re.sub(r"<(/?)(?=\w)", rf"<\1{prefix}", text).replace("xmlns=", f"xmlns:{prefix[:-1]}=")

    parts = {name: prefixed(re.sub(r"<\?xml.*?\?>", "", part_of(MADE, name))) for name in (BOOK, RELS, STYLES)}
    parts["_rels/.rels"] = prefixed(re.sub(r"<\?xml.*?\?>", "", part_of(MADE, "_rels/.rels")))
    parts[BOOK] = parts[BOOK].replace("r:id=", "rel:id=")
    parts[SHEET] = prefixed(part_of(sheet_of(HEADER_ROW, row_of(*LINE)), SHEET))
    assert read_rows(with_parts(MADE, parts)) == ONE


def test_cells_and_rows_without_references_are_read() -> None:
    assert read_rows(sheet_of(HEADER_ROW, row_of(*LINE))) == ONE


def test_workbook_without_shared_texts_is_read() -> None:
    assert read_rows(with_parts(sheet_of(HEADER_ROW, row_of(*LINE)), {"xl/sharedStrings.xml": None})) == ONE


def test_chart_sheet_and_other_sheets_are_skipped() -> None:
    book = part_of(MADE, BOOK).replace(
        "<sheets>",
        '<sheets><sheet name="Chart" sheetId="8" r:id="c" xmlns:r="x"/><sheet name="M" sheetId="9" r:id="m"/>',
    )
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    others = (
        f'<Relationship Id="c" Type="{kind}/chartsheet" Target="chartsheets/sheet1.xml"/>'
        f'<Relationship Id="m" Type="{kind}/xlMacrosheet" Target="m.xml"/>'
    )
    rels = part_of(MADE, RELS).replace("</Relationships>", f"{others}</Relationships>")
    assert read_rows(with_parts(MADE, {BOOK: book, RELS: rels})) == ONE


def test_missing_worksheet_is_not_skipped_silently() -> None:
    assert "not a valid XLSX" in read_error(with_parts(MADE, {SHEET: None}))
    assert "not a valid XLSX" in read_error(with_parts(MADE, {RELS: "<Relationships/>"}))


def test_line_break_within_a_cell_is_a_space() -> None:
    for name in ("Cuff\n1", "Cuff&#10;1", "Cuff&#13;&#10;1", "Cuff_x000D_\n1"):
        content = sheet_of(row_of(*HEADER), row_of(inline(name), *LINE[1:]))
        assert read_rows(content) == ONE, name
