"""What Django tells of an error in a report, as it mails them to ADMINS: where it was, and nothing that was in it."""

from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from cexup.redaction import redacted


class Report(ExceptionReporter):
    def get_traceback_html(self) -> SafeString:
        return SafeString(redacted(super().get_traceback_html()))  # as safe as before: it only leaves out

    def get_traceback_text(self) -> SafeString:
        return SafeString(redacted(super().get_traceback_text()))


class ReportFilter(SafeExceptionReporterFilter):
    """Leave out the values of variables and of forms, unless DEBUG is on, whose page is for whoever writes the code."""

    def get_post_parameters(self, request: HttpRequest | None) -> Any:
        if not self.is_active(request):
            return super().get_post_parameters(request)
        return {} if request is None else dict.fromkeys(request.POST, self.cleansed_substitute)

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: FrameType) -> Any:
        if not self.is_active(request):
            return super().get_traceback_frame_variables(request, tb_frame)
        return [(name, self.cleansed_substitute) for name in tb_frame.f_locals]
