"""The XLSX template of an import: column headers, lists of types and hospitals, and an example."""

import io
from collections.abc import Iterable
from itertools import islice

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
EXAMPLE = {"device_name": "Tensimeter Omron IGD 001", "device_mac": "D0:61:AE:D4:58:94"}


def workbook(hospitals: Iterable[str], *, allows_others: bool) -> HttpResponse:
    """Return the template in the current language.

    hospitals: the names that can be chosen. The caller limits them to the user's scope.
    allows_others: whether the user can also type the name of a new hospital.

    The example has its column headers one below the other, so an import never reads it as devices.
    """
    names = [escape(name) for name in islice(hospitals, MAX_HOSPITALS + 1)]
    types, file = [str(kind.label) for kind in DeviceType], io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True}) as book:
        text, bold = book.add_format({"num_format": TEXT_FORMAT}), book.add_format({"bold": True})
        sheet, example = book.add_worksheet(_("Devices")), book.add_worksheet(_("Example"))
        sheet.freeze_panes(1, 0)
        for index, column in enumerate(COLUMNS):
            label = header.label(column)
            sheet.set_column(index, index, WIDTHS.get(column, 30), text)
            sheet.write_string(0, index, label, text)
            example.write_string(index, 0, label, bold)
            value = {**EXAMPLE, "device_type": types[0], "device_holder": next(iter(names), "")}[column]
            example.write_string(index, 1, value, text)
        example.set_column(0, 3, 30)
        types_at, hospitals_at = COLUMNS.index("device_type"), COLUMNS.index("device_holder")
        sheet.data_validation(1, types_at, ROWS, types_at, {"validate": "list", "source": types})
        if 0 < len(names) <= MAX_HOSPITALS:
            example.write_string(0, 3, _("Hospitals"), bold)
            for row, name in enumerate(names, start=1):
                example.write_string(row, 3, name, text)
            source = f"='{example.get_name()}'!$D$2:$D${len(names) + 1}"
            rule = {"validate": "list", "source": source, "error_type": "warning" if allows_others else "stop"}
            sheet.data_validation(1, hospitals_at, ROWS, hospitals_at, rule)
    return HttpResponse(file.getvalue(), headers=file_headers("devices.xlsx", ".xlsx"))
