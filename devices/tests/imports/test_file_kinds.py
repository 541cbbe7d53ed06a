"""Files of other kinds: the message says what to do."""

import gzip
import io
import zipfile

import pytest
from django.utils import translation

from devices.imports.files import xlsx_package
from devices.tests.support.workbooks import MADE, TYPES, part_of, read_error, read_rows, with_parts

SAVE = "save it as “Excel Workbook (.xlsx)”"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"


def archive(*names: str, **contents: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name in names:
            made.writestr(name, contents.get(name.rpartition("/")[2].partition(".")[0], "<x/>"))
    return file.getvalue()


def package(main: str, *names: str) -> bytes:
    """Return an Office document with this main part."""
    rels = f'<Relationships><Relationship Id="a" Type="{OFFICE}" Target="{main}"/></Relationships>'
    return with_parts(archive(TYPES, main, *names), {"_rels/.rels": rels})


def open_document(kind: str) -> bytes:
    names = ("mimetype", "content.xml", "META-INF/manifest.xml", "styles.xml")
    return archive(*names, mimetype=f"application/vnd.oasis.opendocument.{kind}")


def old(stream: str) -> bytes:
    return xlsx_package.OLE + b"\0" * 600 + stream.encode("utf-16-le")


HTML = "<html xmlns:x='urn:schemas-microsoft-com:office:excel'><table><tr><td>ID</td></tr></table></html>"
KINDS = {
    "ods": (open_document("spreadsheet"), f"OpenDocument spreadsheet (.ods). Open it in Excel or LibreOffice, {SAVE}"),
    "ods without a type": (archive("content.xml", "META-INF/manifest.xml"), "OpenDocument spreadsheet (.ods)."),
    "odt": (open_document("text"), "is a document, a presentation or a picture. Copy the list"),
    "xls": (old("Workbook"), f"Excel's old format (.xls). Open it in Excel, {SAVE}"),
    "xls of Excel 95": (old("Book"), "Excel's old format (.xls)."),
    "password": (old("EncryptedPackage"), "has a password. Remove the password"),
    "doc": (old("WordDocument"), "is a document, a presentation or a picture."),
    "ppt": (old("PowerPoint Document"), "is a document, a presentation or a picture."),
    "xlsb": (package("xl/workbook.bin"), f"Excel's binary format (.xlsb). Open it in Excel, {SAVE}"),
    "numbers": (archive("Index/Document.iwa", "Metadata/Properties.plist"), "In Numbers, export it to Excel or CSV"),
    "docx": (package("word/document.xml"), "is a document, a presentation or a picture."),
    "pptx": (package("ppt/presentation.xml"), "is a document, a presentation or a picture."),
    "zipped csv": (archive("devices.csv"), "is an archive, such as ZIP. Unpack it, and choose the file inside."),
    "zipped xlsx": (archive("a/devices.xlsx", "b.txt"), "is an archive, such as ZIP."),
    "empty zip": (archive(), "is an archive, such as ZIP."),
    "gzip": (gzip.compress(b"ID,MAC,TYPE\n"), "is an archive, such as ZIP."),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4" + bytes(range(256)), "is an archive, such as ZIP."),
    "rar": (b"Rar!\x1a\7\0" + bytes(range(256)), "is an archive, such as ZIP."),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0", "is a document, a presentation or a picture."),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "is a document, a presentation or a picture."),
    "gif": (b"GIF89a\1\0\1\0", "is a document, a presentation or a picture."),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", "is a document, a presentation or a picture."),
    "rtf": (b"{\\rtf1\\ansi ID}", "is a document, a presentation or a picture."),
    "html": (HTML.encode(), f"is a web page or XML, even if its name ends with .xls. Open it in Excel, {SAVE}"),
    "html in UTF-16": (HTML.encode("utf-16"), "is a web page or XML"),
    "html after blanks": (b"\xef\xbb\xbf\r\n  <!DOCTYPE html>\n<html>", "is a web page or XML"),
    "html table": (b"<TABLE border=1><tr><td>ID", "is a web page or XML"),
    "XML spreadsheet": (b'<?xml version="1.0"?>\n<Workbook xmlns="urn:schemas"', "is a web page or XML"),
    "damaged": (MADE[:-300], f"is not a valid XLSX workbook. Open it in Excel, {SAVE}"),
    "truncated": (MADE[:60], "is not a valid XLSX workbook."),
    "program": (b"\x7fELF\2\1\1\0" + bytes(range(1, 128)), f"text in a known encoding. Open it in Excel, {SAVE}"),
    "database": (b"SQLite format 3\0\x10\0\1\1", "text in a known encoding."),
    "text with NUL": (b"abc\0def\nghi", "text in a known encoding."),
}


@pytest.mark.parametrize(("content", "message"), KINDS.values(), ids=KINDS)
def test_file_of_another_kind_is_explained(content: bytes, message: str) -> None:
    error = read_error(content)
    assert message in error
    assert "Missing columns" not in error


@pytest.mark.parametrize("content", [content for content, _message in KINDS.values()], ids=KINDS)
def test_file_of_another_kind_is_explained_in_indonesian(content: bytes) -> None:
    english = read_error(content)
    with translation.override("id"):
        indonesian = read_error(content)
    assert indonesian != english
    assert " " in indonesian


def test_letter_names_the_missing_columns() -> None:
    assert read_error(b"Dear colleagues,\nhere is the list.").startswith("Missing columns:")
    assert read_error("Café <b>, list".encode("cp1252")).startswith("Missing columns:")


@pytest.mark.parametrize("name", ["BMHP", "II", "PK", "RIFF", "MM", "<b>", "GIF", "7z", "%P"])
def test_list_whose_first_text_is_like_the_begin_of_another_kind_is_read(name: str) -> None:
    assert read_rows(f"{name}\nID,MAC,TYPE\na,b,c\n".encode())[0].cells["device_name"] == "a"


def test_macro_workbook_and_template_are_read() -> None:
    for kind in ("ms-excel.sheet.macroEnabled.main", "openxmlformats-officedocument.spreadsheetml.template.main"):
        types = part_of(MADE, TYPES).replace("openxmlformats-officedocument.spreadsheetml.sheet.main", kind)
        assert len(read_rows(with_parts(MADE, {TYPES: types, "xl/vbaProject.bin": b"\0"}))) == 1
