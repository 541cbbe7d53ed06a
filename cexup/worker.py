"""gunicorn's threaded worker. It returns errors of the HTTP parser in the response format of the API."""

import json
import uuid
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from django.conf import settings
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import ThreadWorker

from cexup import logs
from devices.values.error_codes import ErrorCode
from devices.values.errors import status_name

# A browser shows the response only to origins that this header allows. The origin of the request is not known here, and
# the response has no data.
CORS_HEADERS = """Access-Control-Allow-Origin: *
Access-Control-Expose-Headers: x-request-id
"""
RESPONSE = """HTTP/1.1 {status.value} {status.phrase}
Content-Type: application/json
Content-Length: {length}
X-Request-ID: {request_id}
X-Content-Type-Options: nosniff
Cache-Control: no-store
Vary: x-api-key
{cors}Connection: close

{body}"""


def report_rejected(status: HTTPStatus) -> None:
    """Receive the status of a request that failed outside of Django. The metrics replace this function."""


class EnvelopeWorker(ThreadWorker):
    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Return 400, 414, 431 or 500 in the response format of the API. gunicorn's own response is HTML."""
        request_id = uuid.uuid4().hex
        logs.current_request_id.set(request_id)
        logs.current_request_fields.set(logs.no_fields)  # those of the last request of this thread
        status, code, message = self._describe(exc)
        known = {"status_code": status.value}
        if isinstance(exc, ParseException):
            self.log.warning("The request is malformed: %s", type(exc).__name__, extra=known)
        else:
            self.log.error("The request failed outside of Django.", exc_info=exc, extra=known)
        report_rejected(status)
        error = {"field": None, "code": code, "message": message}
        body = json.dumps(
            {"status": status_name(status), "code": status, "message": message, "data": [], "errors": [error]}
        )
        cors = CORS_HEADERS if settings.CORS_ALLOWED_ORIGINS else ""
        response = RESPONSE.format(status=status, length=len(body), request_id=request_id, cors=cors, body=body)
        with suppress(OSError):  # the client has closed the connection
            client.sendall(response.replace("\n", "\r\n").encode())

    def _describe(self, exc: BaseException) -> tuple[HTTPStatus, ErrorCode, str]:
        """Return the status, the code and the message of an error. The language of the client is not known yet."""
        if isinstance(exc, LimitRequestLine):
            message = f"The URL is too long. The request line can have at most {self.cfg.limit_request_line} bytes."
            return HTTPStatus.REQUEST_URI_TOO_LONG, ErrorCode.URI_TOO_LONG, message
        if isinstance(exc, LimitRequestHeaders):
            number, size = self.cfg.limit_request_fields, self.cfg.limit_request_field_size
            message = f"The headers are too large. A request can have at most {number} headers of {size} bytes each."
            return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, ErrorCode.HEADERS_TOO_LARGE, message
        if isinstance(exc, ParseException):
            return HTTPStatus.BAD_REQUEST, ErrorCode.MALFORMED_REQUEST, "The HTTP request is malformed."
        message = "Internal server error. Report the X-Request-ID of this response to the operator."
        return HTTPStatus.INTERNAL_SERVER_ERROR, ErrorCode.INTERNAL_ERROR, message
