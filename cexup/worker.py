"""gunicorn's threaded worker, with the API's envelope for a request that it cannot parse."""

import json
import uuid
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import ThreadWorker

from devices.values.errors import status_name

STATUSES = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
}
RESPONSE = """HTTP/1.1 {status.value} {status.phrase}
Content-Type: application/json
Content-Length: {length}
X-Request-ID: {request_id}
X-Content-Type-Options: nosniff
Cache-Control: no-store
Vary: x-api-key
Connection: close

{body}"""


class EnvelopeWorker(ThreadWorker):
    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer 400, 414 or 431 in the envelope. gunicorn's own response is a page of HTML."""
        if not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        self.log.warning("The request is malformed: %s", type(exc).__name__)
        status = STATUSES.get(type(exc), HTTPStatus.BAD_REQUEST)
        message = f"The request is malformed: {status.phrase}."
        error = {"field": None, "code": "http", "message": message}
        body = json.dumps(
            {"status": status_name(status), "code": status, "message": message, "data": [], "errors": [error]}
        )
        response = RESPONSE.format(status=status, length=len(body), request_id=uuid.uuid4().hex, body=body)
        with suppress(OSError):  # the client has closed the connection
            client.sendall(response.replace("\n", "\r\n").encode())
