"""The XLSX template of an import: column headers, examples, and lists of types and hospitals."""

import io
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import xlsxwriter
from django.http import HttpResponse
from django.utils.translation import gettext as _

from devices.imports.export import file_headers
from devices.imports.files import header
from devices.imports.files.header import COLUMNS
from devices.imports.files.xlsx_file import TEXT_FORMAT, WIDTHS
from devices.values.csv_escaping import escape
from devices.values.device_types import DeviceType

ROWS = 10_000  # that have the lists
MAX_HOSPITALS = 2_000
MAX_LIST = 255  # characters of a list in a cell's rule; Excel does not open a file with a longer one
EXAMPLES = {"device_name": "Tensimeter Omron IGD 001", "device_mac": "D0:61:AE:D4:58:94"}


def workbook(hospitals: Iterable[str], *, allows_others: bool) -> HttpResponse:
    """Return the template in the current language. Excel shows the example of a column when a cell is selected.

    hospitals: the names that can be chosen. The caller limits them to the user's scope.
    allows_others: whether the user can also type the name of a new hospital.
    """
    names = [escape(name) for name in islice(hospitals, MAX_HOSPITALS + 1)]
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True}) as book:
        text = book.add_format({"num_format": TEXT_FORMAT})
        sheet = book.add_worksheet("Devices")
        sheet.freeze_panes(1, 0)
        for index, column in enumerate(COLUMNS):
            sheet.set_column(index, index, WIDTHS.get(column, 30), text)
            sheet.write_string(0, index, header.label(column), text)
            if column in EXAMPLES:
                message = _("Example: %(value)s") % {"value": EXAMPLES[column]}
                rule: dict[str, Any] = {"validate": "any", "input_message": message}
            elif column == "device_type":
                rule = {"validate": "list", "source": [str(kind.label) for kind in DeviceType]}
            elif 0 < len(names) <= MAX_HOSPITALS:
                rule = {"validate": "list", "source": _list(book, names)}
                rule["error_type"] = "warning" if allows_others else "stop"
            else:
                continue
            sheet.data_validation(1, index, ROWS, index, rule)
    return HttpResponse(file.getvalue(), headers=file_headers("devices.xlsx", ".xlsx"))


def _list(book: xlsxwriter.Workbook, names: Sequence[str]) -> Any:
    """Return the source of a list: the names, or cells of a hidden worksheet if they do not fit."""
    if len(",".join(names)) <= MAX_LIST and not any("," in name for name in names):
        return list(names)
    sheet = book.add_worksheet("Hospitals")
    sheet.hide()
    for row, name in enumerate(names):
        sheet.write_string(row, 0, name)
    return f"='Hospitals'!$A$1:$A${len(names)}"
