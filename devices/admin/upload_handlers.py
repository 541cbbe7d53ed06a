"""Reject uploads that are too large before they are written to disk."""

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler, StopUpload

FORM_BYTES = 64 * 1024  # for the other fields of the form
READ_UP_TO = 10  # times the limit: such a request is read to its end, because otherwise the response is lost


class LimitedUpload(FileUploadHandler):
    """Discard the file of a request that is larger than the settings allow, and set `upload_too_large` on the request.

    This handler must come before the handlers that store files.
    """

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        request: Any = self.request
        excess = int(request.META.get("CONTENT_LENGTH") or 0) / (settings.IMPORT_MAX_BYTES + FORM_BYTES)
        if excess > 1:
            request.upload_too_large = True
            raise StopUpload(connection_reset=excess > READ_UP_TO)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None
