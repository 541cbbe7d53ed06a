"""The WSGI application for gunicorn: `gunicorn cexup.wsgi`."""

import io
import logging
import os
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cexup.settings")

logging.captureWarnings(True)  # else Python prints them, and not as records
django = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Pass the request to Django, in a form that Django can read."""
    content_type = environ.get("CONTENT_TYPE")
    if content_type and ";" in content_type:
        environ = {**environ, "CONTENT_TYPE": _without_charset(content_type), "registry.content_type": content_type}
    if environ.get("wsgi.input_terminated") and "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        environ = _with_length(environ)
    return django(environ, start_response)


def _without_charset(content_type: str) -> str:
    """Return the media type and the boundary of a multipart form, without any other parameter.

    Query strings, forms and JSON are always UTF-8 (RFC 8259, 8.1; WHATWG URL). Django would decode the query string
    with any codec of Python that a charset names, even before the first middleware: `base64` cannot decode text,
    `punycode` takes quadratic time, and `latin-1` returns other letters.
    """
    media_type, *parameters = content_type.split(";")  # a boundary has no semicolon (RFC 2046, 5.1.1)
    boundary = [parameter for parameter in parameters if parameter.strip().lower().startswith("boundary=")]
    return ";".join([media_type, *boundary[:1]])


def _with_length(environ: dict[str, Any]) -> dict[str, Any]:
    """Read a chunked body, at most one byte more than API_MAX_BODY: Django reads no body without a Content-Length.

    Node's http.request sends chunks by default.
    """
    body = environ["wsgi.input"].read(settings.API_MAX_BODY + 1)
    return {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
