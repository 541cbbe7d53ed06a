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
            "again, save the file as XLSX, and choose it again."
        ),
    )
    FORMAT = (
        "format",
        _(
            "Excel shows this number in another form, such as with %, a unit or other decimals. Format the column as "
            "text, type the value as it should be, and choose the file again."
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


class FormattedNumber(float):
    """A number in a cell with a number format other than General. `code` is the format, as in the file."""

    code: str

    @classmethod
    def of(cls, number: float, code: str) -> "FormattedNumber":
        formatted = cls(number)
        formatted.code = code
        return formatted

    @property
    def shown(self) -> str | None:
        """The number as Excel shows it, for the formats that only set the number of digits; otherwise None."""
        code, plain = self.code, text_of(float(self))
        if ";" in code:
            code = code.partition(";")[0] if self > 0 else ""
        if code.casefold() in ("general", "@"):
            return plain
        if _ZEROS.fullmatch(code) and plain.isdigit():
            return plain.zfill(len(code))
        if code.startswith("#") and "0" not in code.partition(".")[0] and abs(self) < 1:
            return None  # Excel shows no zero before the decimal point
        digits = _DIGITS.fullmatch(code)
        return plain if digits and plain == f"{float(self):{digits[1] or ''}.{len(digits[2] or '')}f}" else None


MAX_TEXT = 2**15  # characters of a cell that are read: Excel's limit
NAMES = ("device_name", "device_holder")
MAX_EXACT_INTEGER = 10**15  # from here on, Excel stores only the first 15 digits of a number

_ZEROS = re.compile("0+")
_DIGITS = re.compile(r"(?:#(,)##0|0|#)(?:\.(0+))?")
# In a CSV, a number of Excel is `1.23E+11`. `3E2` or `219E01` is a text: Excel writes no number so.
_NUMBER_OF_EXCEL = re.compile(r"[+-]?\d(?:[.,]\d+)?E\+\d{2,3}", re.IGNORECASE)
_SCIENTIFIC_NOTATION = re.compile(r"[+-]?\d+(?:[.,]\d+)?E[+-]?\d+", re.IGNORECASE)
_DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{2,4}(?:[ T]\d.*)?|\d{1,2}[- ][A-Z]{3,9}[- ]\d{2,4}", re.IGNORECASE)
_FEW_DIGITS = re.compile(r"\d{6,11}")


def read_cell(column: str, cell: object, *, is_typed: bool) -> tuple[str, ExcelConversion | None]:
    """Return the cell's text, normalized, and the conversion if Excel has changed the typed text.

    is_typed: the file says which cells are texts, as a workbook does.
    """
    if isinstance(cell, Date):
        return str(cell), ExcelConversion.DATE
    if isinstance(cell, str):
        return _read_text(column, normalize(cell[:MAX_TEXT])[:MAX_CELL_LENGTH], is_typed=is_typed)
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return _read_number(column, cell)
    return str(cell).upper(), None  # TRUE or FALSE


def text_of(cell: object) -> str:
    """Return the cell as Excel shows it without a format. Excel stores 7 as the float 7.0, and shows 15 digits."""
    if not isinstance(cell, float):
        return str(cell)
    return str(int(cell)) if cell.is_integer() else f"{cell:.15g}"


def _read_text(column: str, text: str, *, is_typed: bool) -> tuple[str, ExcelConversion | None]:
    plain = unescape(text)
    if text.startswith("'"):
        return plain, None
    if text in EXCEL_ERRORS:
        return text, ExcelConversion.ERROR
    if column == "device_mac":
        return plain, None if _is_mac(plain) else _converted_mac(plain)
    if is_typed or column not in NAMES or not _NUMBER_OF_EXCEL.fullmatch(plain):
        return plain, None
    return plain, ExcelConversion.NUMBER


def _converted_mac(text: str) -> ExcelConversion | None:
    if _DATE.fullmatch(text):
        return ExcelConversion.DATE
    # A MAC with too few digits has lost its leading zeros.
    return ExcelConversion.NUMBER if _SCIENTIFIC_NOTATION.fullmatch(text) or _FEW_DIGITS.fullmatch(text) else None


def _read_number(column: str, number: float) -> tuple[str, ExcelConversion | None]:
    text, shown = text_of(number), number.shown if isinstance(number, FormattedNumber) else None
    if column == "device_mac":
        text = shown or text
        return text, None if mac.is_exact_number(text) else ExcelConversion.NUMBER
    if not abs(number) < MAX_EXACT_INTEGER or "e" in text:
        return text, ExcelConversion.NUMBER
    if column in NAMES and isinstance(number, FormattedNumber):
        return shown or text, None if shown else ExcelConversion.FORMAT
    return text, None


def _is_mac(text: str) -> bool:
    if mac.parse_mac(text):
        return True
    return (
        settings.DEVICES_ALLOW_NON_MAC
        and not _SCIENTIFIC_NOTATION.fullmatch(text)
        and mac.parse_manufacturer_id(text) is not None
    )
