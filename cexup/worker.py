"""gunicorn's threaded worker, with the API's envelope for a request that it cannot parse."""

import json
import uuid
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import ThreadWorker

from devices.problems import status_name


class EnvelopeWorker(ThreadWorker):
    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer 400, 414 or 431 in the envelope. gunicorn's own response is a page of HTML."""
        if not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        self.log.warning("The request is malformed: %s", type(exc).__name__)
        with suppress(OSError):  # the client has closed the connection
            client.sendall(_response(_status(exc)))


def _status(exc: ParseException) -> HTTPStatus:
    if isinstance(exc, LimitRequestLine):
        return HTTPStatus.REQUEST_URI_TOO_LONG
    if isinstance(exc, LimitRequestHeaders):
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return HTTPStatus.BAD_REQUEST


def _response(status: HTTPStatus) -> bytes:
    message = f"The request is malformed: {status.phrase}."
    error = {"field": None, "code": "http", "message": message}
    envelope = {"status": status_name(status), "code": status, "message": message, "data": [], "errors": [error]}
    body = json.dumps(envelope)
    headers = {
        "Content-Type": "application/json",
        "Content-Length": len(body),
        "X-Request-ID": uuid.uuid4().hex,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Vary": "x-api-key",
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", body]).encode()
