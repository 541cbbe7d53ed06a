"""Recognize files that cannot be read as a list of devices, and explain what to do with them."""

import re

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from devices.imports.files import xlsx_package

OPEN_DOCUMENT = _(
    "The file is an OpenDocument spreadsheet (.ods). Open it in Excel or LibreOffice, save it as “Excel Workbook "
    "(.xlsx)”, and choose the new file."
)
NUMBERS = _("The file is from Apple Numbers. In Numbers, export it to Excel or CSV, and choose the new file.")
DOCUMENT = _(
    "The file is a document, a presentation or a picture. Copy the list of devices to a spreadsheet, save it as “Excel "
    "Workbook (.xlsx)”, and choose the new file."
)
ARCHIVE = _("The file is an archive, such as ZIP. Unpack it, and choose the file inside.")
WEB_PAGE = _(
    "The file is a web page or XML, even if its name ends with .xls. Open it in Excel, save it as “Excel Workbook "
    "(.xlsx)”, and choose the new file."
)
NOT_TEXT = _(
    "The file is neither XLSX nor text in a known encoding. Open it in Excel, save it as “Excel Workbook (.xlsx)” or "
    "“CSV UTF-8”, and choose the new file."
)

# The messages of the exit statuses of xlsx_reader.py
MESSAGES: dict[int, Promise] = {
    xlsx_package.DAMAGED: _(
        "The file is not a valid XLSX workbook. Open it in Excel, save it as “Excel Workbook (.xlsx)” or “CSV UTF-8”, "
        "and choose the new file."
    ),
    xlsx_package.TOO_LARGE: _("The workbook is too large when unpacked. Save only the list of devices, as CSV."),
    xlsx_package.PROTECTED: _("The workbook has a password. Remove the password, and choose the file again."),
    xlsx_package.OLD: _(
        "The file is in Excel's old format (.xls). Open it in Excel, save it as “Excel Workbook (.xlsx)”, and choose "
        "the new file."
    ),
    xlsx_package.BINARY: _(
        "The file is in Excel's binary format (.xlsb). Open it in Excel, save it as “Excel Workbook (.xlsx)”, and "
        "choose the new file."
    ),
    xlsx_package.OPEN_DOCUMENT: OPEN_DOCUMENT,
    xlsx_package.NUMBERS: NUMBERS,
    xlsx_package.DOCUMENT: DOCUMENT,
    xlsx_package.ARCHIVE: ARCHIVE,
}

_BEGINS = {
    DOCUMENT: (b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"{\\rtf", b"II*\0", b"MM\0*"),
    ARCHIVE: (b"\x1f\x8b", b"Rar!", b"7z\xbc\xaf", b"BZh", b"\xfd7zXZ"),
}
_MARKUP = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|!--|\?xml|html|head|body|table|style|meta|workbook)\b", re.IGNORECASE
)
# No text of an office has these characters. NUL and 0x1A are at the end of files from old programs.
_CONTROLS = re.compile(r"[\x01-\x08\x0e-\x19\x1b\x1c-\x1f\x80-\x84\x86-\x9f]")


def reason(head: bytes) -> Promise | None:
    """Return the message for a file that begins like something else than text, or None."""
    if _MARKUP.match(head) or _MARKUP.match(head[2:].replace(b"\0", b"")):  # also in UTF-16
        return WEB_PAGE
    return next((message for message, begins in _BEGINS.items() if head.startswith(begins) and len(head) > 4), None)


def is_binary(text: str) -> bool:
    """Return whether the text has characters that only other kinds of files have."""
    return bool(_CONTROLS.search(text)) or "\0" in text.strip("\0")
