"""Download devices as a file that an import can read."""

import io
from collections.abc import Iterable, Sequence

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from devices.imports import plan
from devices.imports.files import spreadsheet
from devices.models import DeviceQuerySet

CONTENT_TYPES = {
    ".csv": "text/csv; charset=utf-8",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def download(devices: DeviceQuerySet, ending: str) -> HttpResponseBase:
    """Return the devices as `.csv` (streamed) or `.xlsx`. The caller limits them to the user's scope.

    Raises:
        UnreadableFile: there are more devices than a worksheet has rows.
    """
    name, rows = f"devices-{timezone.localdate():%Y-%m-%d}{ending}", plan.export_rows(devices)
    if ending == ".csv":
        return StreamingHttpResponse(spreadsheet.csv_chunks(rows), headers=_headers(name, ending))
    return attachment(name, ending, rows)


def attachment(
    name: str, ending: str, rows: Iterable[Sequence[str]], columns: Sequence[str] = spreadsheet.EXPORTED
) -> HttpResponse:
    file = io.BytesIO()  # about 30 bytes per device
    spreadsheet.write(file, ending, rows, columns)
    return HttpResponse(file.getvalue(), headers=_headers(name, ending))


def _headers(name: str, ending: str) -> dict[str, str]:
    return {"Content-Type": CONTENT_TYPES[ending], "Content-Disposition": f'attachment; filename="{name}"'}
