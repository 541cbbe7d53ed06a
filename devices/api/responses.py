"""The envelope: the one shape of every response under /api/, success or error."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from django.core.exceptions import DisallowedHost, TooManyFieldsSent
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer

from devices.api.exceptions import (
    AccessDenied,
    EndpointNotFound,
    InternalError,
    InvalidHost,
    MalformedRequest,
    TooManyParameters,
    Unavailable,
)
from devices.values.error_codes import ErrorCode
from devices.values.errors import FieldError, status_name

logger = logging.getLogger("django.request")

# The errors of Django itself, by status and, more precisely, by exception.
DJANGO_STATUSES: dict[int, type[APIException]] = {
    400: MalformedRequest,
    403: AccessDenied,
    404: EndpointNotFound,
    500: InternalError,
    503: Unavailable,
}
DJANGO_EXCEPTIONS: dict[type[Exception | None], type[APIException]] = {
    DisallowedHost: InvalidHost,
    TooManyFieldsSent: TooManyParameters,
}


# The path of an API request, also with further slashes or capitals: clients join a base URL that ends with a slash to
# a path that begins with one. The path as it should be is checked first, because it is the usual one.
API_PATH = re.compile(r"/+api(?:/|\Z)", re.IGNORECASE)


def is_api_path(path: str) -> bool:
    return path.startswith("/api/") or API_PATH.match(path) is not None


def success(data: Any, message: str | Promise, code: int = 200, **more: Any) -> HttpResponse:
    """Return a response with this data. `more` are further fields of the envelope."""
    return _response(code, _body(code, message, data) | more)


def error_with_data(code: int, problem: FieldError, data: Any) -> HttpResponse:
    """Return an error response that has data."""
    return _response(code, _body(code, problem.message, data) | {"errors": serialize_errors([problem], {})})


def _body(code: int, message: str | Promise, data: Any) -> dict[str, Any]:
    return {"status": status_name(code), "code": code, "message": message, "data": data}


def serialize_errors(
    problems: Sequence[FieldError], names: Mapping[str, str], *, indexed: bool = False
) -> list[dict[str, Any]]:
    """Return the `errors` of a response, with the fields named by `names`. `indexed`: with the index in the array."""
    return [
        {"field": names.get(problem.field or "", problem.field), "code": problem.code, "message": problem.message}
        | ({"index": problem.index} if indexed and problem.index is not None else {})
        | ({"suggestions": problem.suggestions} if problem.suggestions is not None else {})
        for problem in problems
    ]


def api_error_response(request: HttpRequest, code: int, exception: Exception | None = None) -> HttpResponse | None:
    """Return the response to an error under /api/ that Django handles, for example one in a middleware.

    Return None for any other path.
    """
    if not is_api_path(request.path_info):
        return None
    return exception_response(django_error(code, exception))


def django_error(code: int, exception: Exception | None) -> APIException:
    """Return the exception of the API for an exception of Django that has this status."""
    return DJANGO_EXCEPTIONS.get(type(exception), DJANGO_STATUSES[code])()


def exception_response(error: APIException) -> HttpResponse:
    """Return the response to an exception of devices/api/exceptions.py."""
    problem = FieldError(None, ErrorCode(str(error.get_codes())), str(error.detail))
    return error_response([problem], error.status_code, wait=getattr(error, "wait", None))


def error_response(
    problems: Sequence[FieldError],
    code: int,
    names: Mapping[str, str] | None = None,
    wait: int | None = None,
    **more: Any,
) -> HttpResponse:
    """Return an error response. The message of a single error is also the message of the response.

    `wait` is the number of seconds for Retry-After. `more` are further fields of the envelope. The response has the
    code of the first error as an attribute, for the metrics.
    """
    message = problems[0].message
    if len(problems) > 1:
        message = _("The request has %(count)d errors; nothing was changed. See errors.") % {"count": len(problems)}
    response = _response(
        code, _body(code, message, []) | {"errors": serialize_errors(problems, names or {}, indexed=True)} | more
    )
    if wait:
        response["Retry-After"] = str(wait)
    response.error_code = problems[0].code  # type: ignore[attr-defined]
    return response


def _response(code: int, content: Mapping[str, Any]) -> HttpResponse:
    """Serialize the content directly, without the content negotiation of DRF's Response."""
    return HttpResponse(orjson.dumps(content, default=_text), status=code, content_type="application/json")


def _text(value: object) -> str:
    if isinstance(value, Promise):
        return str(value)
    raise TypeError(f"{type(value)} cannot be serialized as JSON")


class JSONOnlyNegotiation(DefaultContentNegotiation):
    """Ignore `Accept`, and use the first renderer of the view, which is JSON."""

    def select_renderer(self, request: Any, renderers: Iterable[BaseRenderer], *_args: Any) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type or ""
