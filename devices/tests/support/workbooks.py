"""Workbooks that tests make by hand."""

import io
import zipfile
from typing import Any

import openpyxl

LINE = ["Cuff 1", "D0:61:AE:D4:58:94", "CONSUMER", "RS Müller"]


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


SHEET = "xl/worksheets/sheet1.xml"


NS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


MADE = workbook(["ID", "MAC", "TYPE", "HOLDER"], LINE)


PARTS = ["[Content_Types].xml", "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/styles.xml", SHEET]  # what is read


def with_shared_texts(text: bytes) -> bytes:
    """The workbook, with a part of texts that cells refer to."""
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    types = zipfile.ZipFile(io.BytesIO(MADE)).read("[Content_Types].xml")
    told = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'.encode()
    file = io.BytesIO(repacked(MADE, "[Content_Types].xml", types.replace(b"</Types>", told)))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/sharedStrings.xml", text)
    return file.getvalue()
