"""The rows of a file, before its columns are known."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from django.utils.translation import gettext as _

NOTHING: Mapping[int, object] = MappingProxyType({})


class SheetRow(NamedTuple):
    """The cells of a row. `merged` has the values of blocks of merged cells that begin in a row above, by column."""

    number: int  # from 1
    cells: Sequence[object]
    is_hidden: bool = False
    merged: Mapping[int, object] = NOTHING


SheetRows = Iterator[SheetRow]


class NumberInSheet(int):
    """The number of a row in a workbook of several worksheets. Its text names the worksheet.

    The value is unique in the workbook, and the rows of the first worksheet have their own numbers.
    """

    ROWS = 2**21  # more than a worksheet has; times 1,000 worksheets, it is less than 2**31
    sheet: str

    @classmethod
    def of(cls, index: int, sheet: str, row: int) -> "NumberInSheet":
        number = cls(index * cls.ROWS + row)
        number.sheet = sheet
        return number

    def __str__(self) -> str:
        return _("%(sheet)s, row %(row)d") % {"sheet": self.sheet, "row": self % self.ROWS}


def place(number: int | None) -> str:
    """Return the text for a row's number: "row 5", or "Lantai 2, row 5" if the file has several worksheets."""
    return str(number) if isinstance(number, NumberInSheet) else _("row %(row)d") % {"row": number or 0}


def restored(number: int, sheets: Sequence[str]) -> int:
    """Return a number that was stored as an integer. `sheets` has the names of the worksheets, if there are several."""
    index, row = divmod(number, NumberInSheet.ROWS)
    return NumberInSheet.of(index, sheets[index], row) if sheets else number
