"""Return devices as a file that an import can read."""

import io

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from devices import fleets, spreadsheets
from devices.models import DeviceQuerySet

CONTENT_TYPES = {
    ".csv": "text/csv; charset=utf-8",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def download(devices: DeviceQuerySet, ending: str) -> HttpResponseBase:
    """Return the devices, which must be within the user's scope, as `.csv` (streamed) or `.xlsx`.

    Raises:
        Unreadable: there are more of them than a worksheet has rows.
    """
    rows = fleets.exported(devices)
    name = f"devices-{timezone.localdate():%Y-%m-%d}{ending}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if ending == ".csv":
        chunks = spreadsheets.csv_chunks(rows)
        return StreamingHttpResponse(chunks, content_type=CONTENT_TYPES[ending], headers=headers)
    file = io.BytesIO()  # some 30 bytes a device
    spreadsheets.write(file, ending, rows)
    return HttpResponse(file.getvalue(), content_type=CONTENT_TYPES[ending], headers=headers)
