"""Error reports, as Django mails them to ADMINS: where the error was, without the data that was there."""

from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from cexup.redaction import redacted


class Report(ExceptionReporter):
    def get_traceback_html(self) -> SafeString:
        return SafeString(redacted(super().get_traceback_html()))  # still safe: text is only removed

    def get_traceback_text(self) -> SafeString:
        return SafeString(redacted(super().get_traceback_text()))


class ReportFilter(SafeExceptionReporterFilter):
    """Remove the values of variables and forms. With DEBUG they stay: only developers see that page."""

    def get_post_parameters(self, request: HttpRequest | None) -> Any:
        parameters = super().get_post_parameters(request)
        return dict.fromkeys(parameters, self.cleansed_substitute) if self.is_active(request) else parameters

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: FrameType) -> Any:
        variables = super().get_traceback_frame_variables(request, tb_frame)
        return [(name, self.cleansed_substitute) for name, _ in variables] if self.is_active(request) else variables
