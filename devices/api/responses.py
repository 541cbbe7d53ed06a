"""The envelope: the one shape of every response under /api/, success or error."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from devices.api.exceptions import Unavailable
from devices.values.errors import FieldError, status_name

logger = logging.getLogger("django.request")

MESSAGES = {
    400: _("The request was not understood; nothing was changed."),
    401: _("The x-api-key header is missing, or its key does not open the registry."),
    403: _("This API key may not do this; nothing was changed."),
    404: _("There is nothing here."),
    405: _("This address does not answer to this method."),
    409: _("Another device is in the way; nothing was changed."),
    415: _("Send the body as application/json."),
    429: _("A limit is exceeded; nothing was changed. Retry-After says in how many seconds to retry."),
    500: _("Something went wrong on our side. It was logged; the X-Request-ID names this request."),
    503: Unavailable.default_detail,
}


def success(data: Any, message: str | Promise, code: int = 200, **more: Any) -> HttpResponse:
    return _response(code, _body(code, message, data) | more)


def error_with_data(code: int, problem: FieldError, data: Any) -> HttpResponse:
    """Return an error that has data."""
    return _response(code, _body(code, problem.message, data) | {"errors": serialize_errors([problem], {})})


def _body(code: int, message: str | Promise, data: Any) -> dict[str, Any]:
    return {"status": status_name(code), "code": code, "message": message, "data": data}


def serialize_errors(
    problems: Sequence[FieldError], names: Mapping[str, str], *, indexed: bool = False
) -> list[dict[str, Any]]:
    """Return the `errors` of these problems, with the fields named by `names`. `indexed`: with the place in a list."""
    return [
        {"field": names.get(problem.field or "", problem.field), "code": problem.code, "message": problem.message}
        | ({"index": problem.index} if indexed and problem.index is not None else {})
        for problem in problems
    ]


def api_error_response(request: HttpRequest, code: int) -> HttpResponse | None:
    """Return the response to a failure under /api/ before or after the view, in a middleware, say."""
    if not request.path_info.startswith("/api/"):
        return None
    if code == Unavailable.status_code:
        return error_response([FieldError(None, Unavailable.default_code, MESSAGES[code])], code, wait=Unavailable.wait)
    return error_response([FieldError(None, status_name(code).lower(), MESSAGES[code])], code)


def error_response(
    problems: Sequence[FieldError], code: int, names: Mapping[str, str] | None = None, wait: int | None = None
) -> HttpResponse:
    """Return an error response. A lone problem is the message too: it says more than the status does."""
    message = problems[0].message if len(problems) == 1 else MESSAGES[code]
    response = _response(
        code, _body(code, message, []) | {"errors": serialize_errors(problems, names or {}, indexed=True)}
    )
    if wait:
        response["Retry-After"] = str(wait)
    return response


def _response(code: int, content: Mapping[str, Any]) -> HttpResponse:
    """Write the response at once: DRF's Response would negotiate a renderer first."""
    return HttpResponse(orjson.dumps(content, default=_text), status=code, content_type="application/json")


def _text(value: object) -> str:
    if isinstance(value, Promise):
        return str(value)
    raise TypeError(f"{type(value)} is no JSON")
