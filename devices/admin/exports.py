"""Give devices to whoever asks, as a file that an import reads back."""

import tempfile

from django.http import FileResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from devices import fleets, spreadsheets
from devices.models import DeviceQuerySet

CONTENT_TYPES = {
    ".csv": "text/csv; charset=utf-8",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def download(devices: DeviceQuerySet, ending: str) -> HttpResponseBase:
    """Return the devices as `.csv` or `.xlsx`, in memory that does not grow with their number.

    The query set must be narrowed to what whoever asks may see.

    Raises:
        Unreadable: there are more of them than a worksheet has rows.
    """
    rows = fleets.exported(devices)
    name = f"devices-{timezone.localdate():%Y-%m-%d}{ending}"
    if ending == ".csv":
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingHttpResponse(spreadsheets.csv_chunks(rows), content_type=CONTENT_TYPES[ending], headers=headers)
    file = tempfile.TemporaryFile()  # noqa: SIM115  (the response closes it)
    spreadsheets.write(file, ending, rows)
    file.seek(0)
    return FileResponse(file, as_attachment=True, filename=name, content_type=CONTENT_TYPES[ending])
