"""Download devices as a file that an import can read."""

import io
from collections.abc import Iterable, Iterator, Sequence

from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import get_language

from devices.imports.files import header, spreadsheet
from devices.models import DeviceQuerySet
from devices.values.hospital_names import NO_HOSPITAL

BATCH_SIZE = 2_000  # devices
CONTENT_TYPES = {
    ".csv": "text/csv; charset=utf-8",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def download(devices: DeviceQuerySet, ending: str) -> HttpResponseBase:
    """Return the devices as `.csv` (streamed) or `.xlsx`. The caller limits them to the user's scope.

    The column headers are in the user's language; in English, they are the names of the fields. An import reads both.

    Raises:
        UnreadableFile: there are more devices than a worksheet has rows.
    """
    name, rows = f"devices-{timezone.localdate():%Y-%m-%d}{ending}", export_rows(devices)
    columns = list(spreadsheet.EXPORTED)
    if get_language() != settings.LANGUAGE_CODE:
        columns = [header.label(column) for column in columns]
    if ending == ".csv":
        return StreamingHttpResponse(spreadsheet.csv_chunks(rows, columns), headers=file_headers(name, ending))
    return attachment(name, ending, rows, columns)


def attachment(
    name: str, ending: str, rows: Iterable[Sequence[str]], columns: Sequence[str] = spreadsheet.EXPORTED
) -> HttpResponse:
    file = io.BytesIO()  # about 30 bytes per device
    spreadsheet.write(file, ending, rows, columns)
    return HttpResponse(file.getvalue(), headers=file_headers(name, ending))


def file_headers(name: str, ending: str) -> dict[str, str]:
    return {"Content-Type": CONTENT_TYPES[ending], "Content-Disposition": f'attachment; filename="{name}"'}


def export_rows(devices: DeviceQuerySet) -> Iterator[tuple[str, ...]]:
    """Yield the cells of `spreadsheet.EXPORTED` for each device, in the order of ids, read in batches."""
    columns = ("pk", "device_name", "device_mac", "device_type", "device_holder__name")
    for pk, *values, hospital in devices.order_by("pk").values_list(*columns).iterator(chunk_size=BATCH_SIZE):
        yield str(pk), *values, hospital or NO_HOSPITAL
