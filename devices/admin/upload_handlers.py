"""Refuse uploads that are too large, before they are on this machine's disk."""

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler, StopUpload

FORM = 64 * 1024  # bytes that a form may have besides its file
READ_PAST = 10  # times the limit, up to which the request is read: a response before its end is lost


class LimitedUpload(FileUploadHandler):
    """Take no file of a request that is larger than the settings allow, and set `upload_too_large` on the request.

    Comes before the handlers that store files.
    """

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        request: Any = self.request
        excess = int(request.META.get("CONTENT_LENGTH") or 0) / (settings.IMPORT_MAX_BYTES + FORM)
        if excess > 1:
            request.upload_too_large = True
            raise StopUpload(connection_reset=excess > READ_PAST)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None
