"""Read a cell of a spreadsheet, and detect values that Excel has converted.

Excel converts typed text: a MAC address of digits becomes a number, a name such as `1-2` a date, and a text that begins
like a formula is executed. An export writes an apostrophe before such texts (values/csv_escaping.py); reading removes
it. https://owasp.org/www-community/attacks/CSV_Injection
"""

import re

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from devices.values import mac
from devices.values.csv_escaping import EXCEL_ERRORS, MAX_CELL_LENGTH, unescape
from devices.values.normalization import normalize


class ExcelConversion(models.TextChoices):
    """A conversion by Excel. The typed text cannot be recovered. The label is for the user."""

    NUMBER = (
        "number",
        _(
            "Converted by Excel to a number; the original text is lost. Format the column as text, type the value "
            "again, and choose the file again."
        ),
    )
    DATE = (
        "date",
        _(
            "Converted by Excel to a date or time. Format the column as text, type the value again, and choose the "
            "file again."
        ),
    )
    ERROR = "error", _("This cell contains an Excel error. Type the value again, and choose the file again.")


class Date(str):
    """The text of a cell that Excel stores as a date, time or duration."""

    __slots__ = ()


MAX_TEXT = 2**15  # characters of a cell that are read: Excel's limit
MAX_EXACT_INTEGER = 10**15  # from here on, Excel stores only the first 15 digits of a number

_SCIENTIFIC_NOTATION = re.compile(r"[+-]?\d+(?:[.,]\d+)?E[+-]?\d+", re.IGNORECASE)
_DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{2,4}(?:[ T]\d.*)?|\d{1,2}[- ][A-Z]{3,9}[- ]\d{2,4}", re.IGNORECASE)
_FEW_DIGITS = re.compile(r"\d{6,11}")


def read_cell(column: str, cell: object) -> tuple[str, ExcelConversion | None]:
    """Return the cell's text, normalized, and the conversion if Excel has changed the typed text."""
    if isinstance(cell, Date):
        return str(cell), ExcelConversion.DATE
    if isinstance(cell, str):
        return _read_text(column, normalize(cell[:MAX_TEXT])[:MAX_CELL_LENGTH])
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return _read_number(column, cell)
    return str(cell).upper(), None  # TRUE or FALSE


def text_of(cell: object) -> str:
    """Return the cell as Excel shows it. Excel stores each number as a float: 7.0 is 7."""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _read_text(column: str, text: str) -> tuple[str, ExcelConversion | None]:
    plain = unescape(text)
    if text.startswith("'"):
        return plain, None
    if text in EXCEL_ERRORS:
        return text, ExcelConversion.ERROR
    if column == "device_mac":
        return plain, None if _is_mac(plain) else _converted_mac(plain)
    is_number = column == "device_name" and _SCIENTIFIC_NOTATION.fullmatch(plain)  # a name can be any other text
    return plain, ExcelConversion.NUMBER if is_number else None


def _converted_mac(text: str) -> ExcelConversion | None:
    if _DATE.fullmatch(text):
        return ExcelConversion.DATE
    # A MAC with too few digits has lost its leading zeros.
    return ExcelConversion.NUMBER if _SCIENTIFIC_NOTATION.fullmatch(text) or _FEW_DIGITS.fullmatch(text) else None


def _read_number(column: str, number: float) -> tuple[str, ExcelConversion | None]:
    text = text_of(number)
    is_exact = abs(number) < MAX_EXACT_INTEGER
    if column == "device_mac":  # 112233445500 may have been 1122334455E2, which is a MAC too
        is_exact = len(text) == 12 and text.isdigit() and not text.endswith("00")
    return text, None if is_exact else ExcelConversion.NUMBER


def _is_mac(text: str) -> bool:
    if mac.parse_mac(text):
        return True
    return (
        settings.DEVICES_ALLOW_NON_MAC
        and not _SCIENTIFIC_NOTATION.fullmatch(text)
        and mac.parse_manufacturer_id(text) is not None
    )
