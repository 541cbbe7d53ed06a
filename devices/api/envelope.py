"""Say it: the one shape of every answer under /api/, success or not."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import orjson
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.encoding import force_str
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions
from rest_framework.permissions import SAFE_METHODS
from rest_framework.renderers import BaseRenderer

from devices import conflict_limits
from devices.api.authentication import HEADER
from devices.api.errors import TooManyRequests, Unavailable
from devices.api.naming import spelling
from devices.problems import Problem, Refused, status_name
from devices.transactions import is_outage

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


class JSONRenderer(BaseRenderer):
    """What answers are written in. DRF negotiates it; it renders nothing, since each answer is written already."""

    media_type = "application/json"
    format = "json"
    charset = None


def success(data: Any, message: str | Promise, code: int = 200, **more: Any) -> HttpResponse:
    return _answer(code, body(code, message, data) | more)


def refusal(code: int, problem: Problem, data: Any) -> HttpResponse:
    """Return an answer that refuses, and tells something all the same."""
    return _answer(code, body(code, problem.message, data) | {"errors": [_entry(problem, {})]})


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """Turn whatever a view raised into an envelope: the only place where exceptions become answers.

    It is a plain response, written already: the view's own renderer may be one of HTML.
    """
    request = context["request"]
    if is_outage(exc):
        logger.error("The database failed a request: %s", request.path, exc_info=exc)
        exc = Unavailable()
    if isinstance(exc, Http404):
        exc = exceptions.NotFound()
    elif isinstance(exc, SuspiciousOperation):
        exc = exceptions.ParseError(MESSAGES[400])
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    in_body = request.method not in SAFE_METHODS  # else what is wrong is a parameter, which has one spelling
    names = spelling(request.auth) if in_body and _is_authenticated(request) else {}
    if isinstance(exc, Refused):
        return _refused(exc, names)
    if not isinstance(exc, exceptions.APIException):
        logger.error("A request failed: %s", request.path, exc_info=exc)
        got_request_exception.send(sender=type(context["view"]), request=request._request)
        return _failed([Problem(None, "error", MESSAGES[500])], 500)
    response = _failed(_problems(exc), exc.status_code, names)
    if auth_header := getattr(exc, "auth_header", None):
        response["WWW-Authenticate"] = auth_header
    if wait := getattr(exc, "wait", None):
        response["Retry-After"] = str(wait)
    return response


def outside_views(request: HttpRequest, code: int) -> HttpResponse | None:
    """Return the envelope for what failed under /api/ before or after its view: in a middleware, say."""
    if not request.path_info.startswith("/api/"):
        return None
    if code == Unavailable.status_code:
        return _unavailable()
    return _failed([Problem(None, status_name(code).lower(), MESSAGES[code])], code)


def _unavailable() -> HttpResponse:
    response = _failed([Problem(None, Unavailable.default_code, MESSAGES[503])], 503)
    response["Retry-After"] = str(Unavailable.wait)
    return response


def entries(problems: Iterable[Problem], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what stands in `errors` for these problems, without the place in a list."""
    return [_entry(replace(problem, index=None), names) for problem in problems]


def _refused(refused: Refused, names: Mapping[str, str]) -> HttpResponse:
    response = _failed(refused.problems, refused.status, names)
    if refused.status == TooManyRequests.status_code:
        response["Retry-After"] = str(conflict_limits.retry_after())
    return response


def _failed(problems: list[Problem], code: int, names: Mapping[str, str] | None = None) -> HttpResponse:
    """Return an error's answer. A lone problem is the message too: it says more than the status does."""
    message = problems[0].message if len(problems) == 1 else MESSAGES[code]
    told = body(code, message, []) | {"errors": [_entry(problem, names or {}) for problem in problems]}
    return _answer(code, told)


def _answer(code: int, told: Mapping[str, Any]) -> HttpResponse:
    """Write the answer, once for all: DRF's Response would be asked for its renderer and written later."""
    return HttpResponse(orjson.dumps(told, default=_text), status=code, content_type=JSONRenderer.media_type)


def body(code: int, message: str | Promise, data: Any) -> dict[str, Any]:
    """Return the envelope itself, for whoever answers outside the API."""
    return {"status": status_name(code), "code": code, "message": message, "data": data}


def _entry(problem: Problem, names: Mapping[str, str]) -> dict[str, Any]:
    field = names.get(problem.field, problem.field) if problem.field else None
    entry = {"field": field, "code": problem.code, "message": problem.message}
    return entry if problem.index is None else entry | {"index": problem.index}


def _problems(exc: exceptions.APIException) -> list[Problem]:
    if isinstance(exc, (exceptions.NotAuthenticated, exceptions.AuthenticationFailed)):
        return [Problem(HEADER, "not_authenticated", MESSAGES[401])]
    if isinstance(exc, (exceptions.MethodNotAllowed, exceptions.UnsupportedMediaType)):
        return [Problem(None, exc.default_code, MESSAGES[exc.status_code])]
    by_field: Any = exc.detail if isinstance(exc.detail, dict) else {None: exc.detail}
    return [
        Problem(field, detail.code, str(detail))
        for field, details in by_field.items()
        for detail in (details if isinstance(details, list) else [details])
    ]


def _is_authenticated(request: Any) -> bool:
    """Tell whether authentication has succeeded, without trying it again on a request that it has just failed."""
    return getattr(request, "_auth", None) is not None


def _text(value: object) -> str:
    if isinstance(value, Promise):
        return force_str(value)
    raise TypeError(f"{type(value)} is no JSON")
