"""Send requests to the WSGI application that gunicorn runs. Django's test client begins after it."""

import json
from typing import Any, NamedTuple

from django.core.signals import request_started
from django.db import close_old_connections
from django.test import RequestFactory


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def through_wsgi(method: str, path: str, body: bytes, content_type: str, **headers: str) -> Response:
    """Send a request. Unlike the test client, this also sends a content type that Django itself cannot read."""
    from cexup.wsgi import application  # the import creates the application, with the settings of the test

    environ = RequestFactory().generic(method, path, body, headers=headers).environ
    environ |= {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body))}
    started: list[Any] = []
    request_started.disconnect(close_old_connections)  # as the test client does: the test has an open transaction
    try:
        chunks = application(environ, lambda status, headers, _error=None: started.extend((status, headers)))
    finally:
        request_started.connect(close_old_connections)
    return Response(int(started[0].split()[0]), dict(started[1]), b"".join(chunks))
