"""Refuse uploads that are too large, before they are on this machine's disk."""

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler, StopUpload

FORM = 64 * 1024  # bytes that a form may have besides its file
READ_PAST = 10  # times the limit, up to which the request is read: a response before its end is lost


def was_too_large(request: Any) -> bool:
    """Return whether the request's file was left unread."""
    return getattr(request, "upload_too_large", False)


class LimitedUpload(FileUploadHandler):
    """Take no file of a request that is larger than the settings allow. Comes before the handlers that store files."""

    def handle_raw_input(
        self,
        input_data: Any,
        META: Any,  # noqa: N803  (Django's own name)
        content_length: int,
        boundary: Any,
        encoding: Any = None,
    ) -> None:
        self.excess = content_length / (settings.IMPORT_MAX_BYTES + FORM)
        if self.excess > 1:
            self.request.upload_too_large = True  # type: ignore[union-attr]

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        if self.excess > 1:
            raise StopUpload(connection_reset=self.excess > READ_PAST)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None
