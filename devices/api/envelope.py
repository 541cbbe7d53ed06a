"""The envelope: the one shape of every response under /api/, success or error."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

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


def success(data: Any, message: str | Promise, code: int = 200, **more: Any) -> HttpResponse:
    return _response(code, _body(code, message, data) | more)


def refusal(code: int, problem: Problem, data: Any) -> HttpResponse:
    """Return an error that has data."""
    return _response(code, _body(code, problem.message, data) | {"errors": entries([problem], {})})


def _body(code: int, message: str | Promise, data: Any) -> dict[str, Any]:
    return {"status": status_name(code), "code": code, "message": message, "data": data}


def entries(problems: Sequence[Problem], names: Mapping[str, str], *, indexed: bool = False) -> list[dict[str, Any]]:
    """Return the `errors` of these problems, with the fields named by `names`. `indexed`: with the place in a list."""
    return [
        {"field": names.get(problem.field or "", problem.field), "code": problem.code, "message": problem.message}
        | ({"index": problem.index} if indexed and problem.index is not None else {})
        for problem in problems
    ]


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """Return the response to an exception of a view. Django's own go to the handlers of cexup/urls.py.

    The response does not depend on the renderers of the view, which may be HTML.
    """
    request: Request = context["request"]
    if isinstance(exc, (Http404, PermissionDenied)):
        return None
    if isinstance(exc, SuspiciousOperation):
        exc = exceptions.ParseError(MESSAGES[400])
    if isinstance(exc, Refused):
        return _refused(exc, request)
    error = _api_exception(exc, request)
    response = _error(_problems(error), error.status_code, wait=getattr(error, "wait", None))
    if auth_header := getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = auth_header
    return response


def outside_views(request: HttpRequest, code: int) -> HttpResponse | None:
    """Return the response to a failure under /api/ before or after the view, in a middleware, say."""
    if not request.path_info.startswith("/api/"):
        return None
    if code == Unavailable.status_code:
        return _error([Problem(None, Unavailable.default_code, MESSAGES[code])], code, wait=Unavailable.wait)
    return _error([Problem(None, status_name(code).lower(), MESSAGES[code])], code)


def _api_exception(exc: Exception, request: Request) -> exceptions.APIException:
    if isinstance(exc, exceptions.APIException):
        return exc
    if is_outage(exc):
        logger.error("The database failed a request: %s", request.path, exc_info=exc)
        return Unavailable()
    logger.error("A request failed: %s", request.path, exc_info=exc)
    got_request_exception.send(sender=exception_handler, request=request)
    return exceptions.APIException(MESSAGES[500])


def _refused(refused: Refused, request: Request) -> HttpResponse:
    in_body = request.method not in SAFE_METHODS  # query parameters have one spelling
    names = spelling(request.auth) if in_body else {}
    wait = conflict_limits.retry_after() if refused.status == TooManyRequests.status_code else None
    return _error(refused.problems, refused.status, names, wait)


def _error(
    problems: Sequence[Problem], code: int, names: Mapping[str, str] | None = None, wait: int | None = None
) -> HttpResponse:
    """Return an error response. A lone problem is the message too: it says more than the status does."""
    message = problems[0].message if len(problems) == 1 else MESSAGES[code]
    response = _response(code, _body(code, message, []) | {"errors": entries(problems, names or {}, indexed=True)})
    if wait:
        response["Retry-After"] = str(wait)
    return response


def _response(code: int, content: Mapping[str, Any]) -> HttpResponse:
    """Write the response at once: DRF's Response would negotiate a renderer first."""
    return HttpResponse(orjson.dumps(content, default=_text), status=code, content_type="application/json")


def _problems(exc: exceptions.APIException) -> list[Problem]:
    if isinstance(exc, (exceptions.NotAuthenticated, exceptions.AuthenticationFailed)):
        return [Problem(HEADER, "not_authenticated", MESSAGES[401])]
    if isinstance(exc, (exceptions.MethodNotAllowed, exceptions.UnsupportedMediaType)):
        return [Problem(None, exc.default_code, MESSAGES[exc.status_code])]
    code: Any = exc.get_codes()
    return [Problem(None, code, str(exc.detail))]


def _text(value: object) -> str:
    if isinstance(value, Promise):
        return str(value)
    raise TypeError(f"{type(value)} is no JSON")
