"""Unpack an XLSX workbook for calamine: only the parts that matter, under the names and in the form that it expects.

Nothing else of a workbook can make it unreadable, such as fonts, properties, drawings, comments or themes. Only
xlsx_reader.py runs this, in its separate process. So a rejection is the exit status of the process.

In the texts of the copy, noncharacters mark what calamine does not return: escaped characters and number formats.
"""

import io
import posixpath
import re
import sys
import zipfile
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import unquote
from xml.parsers import expat

# Exit statuses of a rejected workbook
DAMAGED, TOO_LARGE, PROTECTED, OLD, BINARY, OPEN_DOCUMENT, NUMBERS, DOCUMENT, ARCHIVE = range(10, 19)

MAX_PARTS = 1_000
MAX_UNPACKED = 96 * 2**20  # bytes of all XML that is read

OLE = bytes.fromhex("D0CF11E0A1B11AE1")
ENCRYPTED, WORD, POWERPOINT = (  # streams in files of OLE: one with a password, and those of other programs
    name.encode("utf-16-le") for name in ("EncryptedPackage", "WordDocument", "PowerPoint Document")
)

# calamine returns no text for a cell with an error, such as #N/A, unless its type is the text of a formula.
ERROR_CELL = re.compile(rb"""(<(?:\w+:)?c\b[^<>]*?\st=)(["'])e\2""")
DIMENSION = re.compile(
    rb"<(?:\w+:)?dimension\b[^<>]*>(?:\s*</(?:\w+:)?dimension>)?"
)  # calamine would reject one that it cannot parse

# `_x000D_` is an escaped character: ECMA-376 part 1, 22.4.2.4. calamine decodes those up to `_x00FF_`, and none in the
# text of a formula. So each becomes the mark, the hexadecimal number and a semicolon.
ESCAPED = "\ufdd0"
ESCAPE = re.compile(rb"_x([0-9A-Fa-f]{4})_")

# A number with a format becomes a text: the mark, the style, a semicolon and the number.
FORMATTED = "\ufdd1"
FORMATTED_CELL = re.compile(
    rb"""
    ( <(?:\w+:)?c\b (?> [^<>]*? \ss=(["']) ) (?P<style>[0-9]{1,6})\2 [^<>/]* ) >
    ( (?: <(?:\w+:)?f\b [^<>]* (?: (?<=/)> | > [^<>]* </(?:\w+:)?f> ) )? <(?:\w+:)?v\b [^<>/]* > )
    """,
    re.VERBOSE,
)
# calamine returns a date in ISO 8601 as a text if it has a time zone. So its style becomes `d`.
DATE_CELL = re.compile(rb"""(<(?:\w+:)?c\b[^<>]*?\st=)(["'])d\2([^<>]*>\s*<(?:\w+:)?v\b[^<>]*>)""")
TYPE = re.compile(rb"""\st=["']([^"']*)["']""")

# Formats of Excel that have a number and no code in the file: ECMA-376 part 1, 18.8.30.
DATES = frozenset([*range(14, 23), *range(27, 37), 45, 46, 47, *range(50, 59), *range(71, 82)])
CODES = {1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?", 13: "# ??/??"}
CODES |= dict.fromkeys([*range(5, 9), *range(37, 45), 48, *range(59, 71)], "?")
DATE, ELAPSED = 14, 46
MAX_CODE = 255  # characters: Excel's limit
LITERAL = re.compile(r'"[^"]*"?|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
DATE_PART, ELAPSED_PART = re.compile("[ymdhs]", re.IGNORECASE), re.compile(r"\[[hms]+\]", re.IGNORECASE)

VALUE = re.compile(rb"<(?:\w+:)?(?:v|is)\b")
ROW = re.compile(rb"<(?:\w+:)?row\b([^<>]*)>")
COLUMN = re.compile(rb"<(?:\w+:)?col\b([^<>]*)>")
ATTRIBUTE = re.compile(rb"""\s(\w+)=["'](\w*)""")
IS_TRUE = (b"1", b"true")


class Sheet(NamedTuple):
    """A worksheet of the workbook, and what Excel hides in it."""

    name: str
    is_hidden: bool  # then it is not in the copy
    has_values: bool = False
    hidden_rows: frozenset[int] = frozenset()  # from 1
    hidden_columns: tuple[tuple[int, int], ...] = ()  # the first and the last one, from 1


class Workbook(NamedTuple):
    """The worksheets, a copy for calamine with the visible ones, and the codes of the number formats by style."""

    sheets: list[Sheet]
    copy: io.BytesIO
    formats: dict[int, str]


def unpacked(content: bytes) -> Workbook:
    """Read a workbook. Its copy is not compressed, because calamine trusts the sizes in a ZIP.

    Raises:
        SystemExit: the workbook is rejected. Damaged ones raise any other exception too.
    """
    if content.startswith(OLE):
        sys.exit(PROTECTED if ENCRYPTED in content else DOCUMENT if WORD in content or POWERPOINT in content else OLD)
    package = Package(content)
    main = package.main_part()
    folder, name = posixpath.split(main)
    related = package.relationships(posixpath.join(folder, "_rels", f"{name}.rels"), folder)
    part_of = dict(related.values())
    described = elements(package.read(main), "sheet", "workbookPr")
    styles = part_of.get("styles", posixpath.join(folder, "styles.xml"))
    kinds, formats = styles_of(package.read(styles)) if styles in package else ([], {})
    texts = part_of.get("sharedStrings", posixpath.join(folder, "sharedStrings.xml"))

    sheets, copy = list[Sheet](), io.BytesIO()
    with zipfile.ZipFile(copy, "w") as archive:
        for _parent, _name, attributes in (element for element in described if element[1] == "sheet"):
            kind, part = related[attributes["id"]]
            if kind != "worksheet":  # a chart or a dialog
                continue
            title = mark_escapes(attributes.get("name", "").encode()).decode()
            if attributes.get("state") in ("hidden", "veryHidden"):
                sheets.append(Sheet(title, is_hidden=True))
                continue
            xml = package.read(part)
            archive.writestr(f"xl/{len(sheets)}.xml", mark_formats(mark_escapes(xml), formats))
            sheets.append(Sheet(title, False, bool(VALUE.search(xml)), *hidden(xml)))
        if texts in package:
            archive.writestr("xl/sharedStrings.xml", mark_escapes(package.read(texts)))
        is_1904 = any(attributes.get("date1904") in ("1", "true") for _parent, _name, attributes in described)
        parts = [f"{number}.xml" for number, sheet in enumerate(sheets) if not sheet.is_hidden]
        for part, text in frame(parts, kinds, is_1904=is_1904).items():
            archive.writestr(part, text)
    if not any(element[1] == "sheet" for element in described):
        sys.exit(DAMAGED)
    copy.seek(0)
    return Workbook(sheets, copy, formats)


class Package:
    """The parts of a ZIP. The case of their names and the direction of slashes do not matter."""

    def __init__(self, content: bytes) -> None:
        self.archive = zipfile.ZipFile(io.BytesIO(content))
        parts = self.archive.infolist()
        if any(part.flag_bits & 1 for part in parts):
            sys.exit(PROTECTED)
        if len(parts) > MAX_PARTS:
            sys.exit(TOO_LARGE)
        self.parts = {_name_of(part.filename): part for part in parts}
        self.left = MAX_UNPACKED

    def __contains__(self, name: str) -> bool:
        return _name_of(name) in self.parts

    def read(self, name: str) -> bytes:
        """Return a part in UTF-8, of at most the size in the directory of the ZIP."""
        part = self.parts[_name_of(name)]
        self.left -= part.file_size
        if self.left < 0:
            sys.exit(TOO_LARGE)
        text = self.archive.read(part)
        if b"\0" in text or b"<!DOCTYPE" in text:  # UTF-16, or a DTD, which OOXML forbids
            sys.exit(DAMAGED)
        return text

    def main_part(self) -> str:
        """Return the name of the workbook's part. Exit if the file is not a workbook in XLSX."""
        names, types = set(self.parts), "[Content_Types].xml"
        if {"content.xml", "meta-inf/manifest.xml"} <= names:
            kind = self.read("mimetype") if "mimetype" in self else b"spreadsheet"
            sys.exit(OPEN_DOCUMENT if b"spreadsheet" in kind else DOCUMENT)
        if any(name.endswith(".iwa") for name in names):
            sys.exit(NUMBERS)
        related = self.relationships("_rels/.rels", "").values() if "_rels/.rels" in self else ()
        main = next((part for kind, part in related if kind == "officeDocument"), "xl/workbook.xml")
        if main.endswith(".bin") or "xl/workbook.bin" in names:
            sys.exit(BINARY)
        if main.startswith(("word/", "ppt/", "visio/")):
            sys.exit(DOCUMENT)
        if main not in self:
            sys.exit(DAMAGED if types in self else ARCHIVE)
        if types in self:
            self.read(types)  # only to reject a DTD in it
        return main

    def relationships(self, part: str, folder: str) -> dict[str, tuple[str, str]]:
        """Return the last word of the type, and the name of the target, of each relationship by its id."""
        return {
            attributes.get("Id", ""): (
                attributes.get("Type", "").rpartition("/")[2],
                _name_of(posixpath.join("/", folder, unquote(attributes.get("Target", "")).replace("\\", "/"))),
            )
            for _parent, _name, attributes in elements(self.read(part), "Relationship")
        }


def _name_of(path: str) -> str:
    return posixpath.normpath("/" + path.replace("\\", "/")).lstrip("/").lower()


def elements(xml: bytes, *names: str) -> list[tuple[str, str, dict[str, str]]]:
    """Return the parent's name, the name and the attributes of each element with one of the names, without prefixes."""
    found, path = list[tuple[str, str, dict[str, str]]](), [""]

    def start(name: str, attributes: dict[str, str]) -> None:
        local = _local(name)
        if local in names:
            found.append((path[-1], local, {_local(key): value for key, value in attributes.items()}))
        path.append(local)

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _name: path.pop()
    parser.Parse(xml, True)
    return found


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def styles_of(xml: bytes) -> tuple[list[int], dict[int, str]]:
    """Return the kind of each style of cells, and the codes of formats that may not show a number as it is, by style.

    A kind is DATE, ELAPSED (a duration) or 0.
    """
    kinds, codes, custom = list[int](), dict[int, str](), dict[str, str]()
    for parent, name, attributes in elements(xml, "numFmt", "xf"):
        number = attributes.get("numFmtId", "0")
        if (parent, name) == ("numFmts", "numFmt"):
            custom[number] = attributes.get("formatCode", "")[:MAX_CODE]
        elif parent == "cellXfs":
            builtin = int(number) if number.isascii() and number.isdigit() else 0
            code = custom.get(number, CODES.get(builtin, ""))
            is_elapsed = ELAPSED_PART.search(LITERAL.sub("", code)) or (number not in custom and builtin == ELAPSED)
            if code.casefold() in ("", "general", "@"):
                is_date = number not in custom and builtin in DATES
            else:
                is_date = bool(DATE_PART.search(LITERAL.sub("", code).partition(";")[0]))
                if not is_date:
                    codes[len(kinds)] = code
            kinds.append((ELAPSED if is_elapsed else DATE) if is_date else 0)
    return kinds, codes


def mark_escapes(xml: bytes) -> bytes:
    return ESCAPE.sub(ESCAPED.encode() + rb"\1;", xml)


def mark_formats(xml: bytes, formats: Collection[int]) -> bytes:
    """Return the worksheet with marked numbers, with errors as texts and without its dimension."""

    def marked(match: re.Match[bytes]) -> bytes:
        kind = TYPE.search(match[1])
        if int(match["style"]) not in formats or (kind and kind[1] != b"n"):
            return match[0]
        return TYPE.sub(b"", match[1]) + b' t="str">' + match[4] + FORMATTED.encode() + match["style"] + b";"

    xml = DIMENSION.sub(b"", xml, count=1)
    if b't="e"' in xml or b"t='e'" in xml:
        xml = ERROR_CELL.sub(rb"\1\2str\2", xml)
    if b't="d"' in xml or b"t='d'" in xml:
        xml = DATE_CELL.sub(rb"\1\2str\2\3" + FORMATTED.encode() + b"d;", xml)
    return FORMATTED_CELL.sub(marked, xml) if formats else xml


def hidden(xml: bytes) -> tuple[frozenset[int], tuple[tuple[int, int], ...]]:
    """Return the hidden rows, and the first and last of hidden columns."""
    if b"hidden=" not in xml:
        return frozenset(), ()
    rows, number = set(), 0
    for row in ROW.finditer(xml):
        attributes = dict(ATTRIBUTE.findall(row[1]))
        number = int(attributes.get(b"r", number + 1))
        if attributes.get(b"hidden") in IS_TRUE:
            rows.add(number)
    columns = [dict(ATTRIBUTE.findall(column[1])) for column in COLUMN.finditer(xml)]
    ranges = [(int(column[b"min"]), int(column[b"max"])) for column in columns if column.get(b"hidden") in IS_TRUE]
    return frozenset(rows), tuple(ranges)


def frame(worksheets: list[str], kinds: list[int], *, is_1904: bool) -> dict[str, str]:
    """Return the parts of a workbook around these worksheets. `kinds` has the formats of its styles."""
    styles = "".join(f'<xf numFmtId="{kind}"/>' for kind in kinds)
    sheets = "".join(f'<sheet name="{part}" r:id="{part}"/>' for part in worksheets)
    targets = "".join(f'<Relationship Id="{part}" Type="/worksheet" Target="{part}"/>' for part in worksheets)
    main = '<Relationship Type="/relationships/officeDocument" Target="xl/workbook.xml"/>'
    return {
        "_rels/.rels": f"<Relationships>{main}</Relationships>",
        "xl/_rels/workbook.xml.rels": f"<Relationships>{targets}</Relationships>",
        "xl/styles.xml": f"<styleSheet><cellXfs>{styles}</cellXfs></styleSheet>",
        "xl/workbook.xml": f'<workbook><workbookPr date1904="{int(is_1904)}"/><sheets>{sheets}</sheets></workbook>',
    }
