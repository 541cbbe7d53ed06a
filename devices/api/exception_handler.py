"""Turn the exception of a view into a response."""

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.http import Http404, HttpResponse
from rest_framework import exceptions
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from devices.access import conflict_limits
from devices.api.authentication import HEADER
from devices.api.exceptions import TooManyRequests, Unavailable
from devices.api.field_names import names_for
from devices.api.responses import MESSAGES, error_response
from devices.db.transactions import is_outage
from devices.values.errors import FieldError, ValidationFailed

logger = logging.getLogger("django.request")


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """Return the response to an exception of a view. Django's own go to the handlers of cexup/urls.py.

    The response does not depend on the renderers of the view, which may be HTML.
    """
    request: Request = context["request"]
    if isinstance(exc, (Http404, PermissionDenied)):
        return None
    if isinstance(exc, SuspiciousOperation):
        exc = exceptions.ParseError(MESSAGES[400])
    if isinstance(exc, ValidationFailed):
        return _refused(exc, request)
    error = _api_exception(exc, request)
    response = error_response(_problems(error), error.status_code, wait=getattr(error, "wait", None))
    if auth_header := getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = auth_header
    return response


def _api_exception(exc: Exception, request: Request) -> exceptions.APIException:
    if isinstance(exc, exceptions.APIException):
        return exc
    if is_outage(exc):
        logger.error("The database failed a request: %s", request.path, exc_info=exc)
        return Unavailable()
    logger.error("A request failed: %s", request.path, exc_info=exc)
    got_request_exception.send(sender=exception_handler, request=request)
    return exceptions.APIException(MESSAGES[500])


def _refused(refused: ValidationFailed, request: Request) -> HttpResponse:
    in_body = request.method not in SAFE_METHODS  # query parameters have one spelling
    names = names_for(request.auth) if in_body else {}
    wait = conflict_limits.retry_after() if refused.status == TooManyRequests.status_code else None
    return error_response(refused.problems, refused.status, names, wait)


def _problems(exc: exceptions.APIException) -> list[FieldError]:
    if isinstance(exc, (exceptions.NotAuthenticated, exceptions.AuthenticationFailed)):
        return [FieldError(HEADER, "not_authenticated", MESSAGES[401])]
    if isinstance(exc, (exceptions.MethodNotAllowed, exceptions.UnsupportedMediaType)):
        return [FieldError(None, exc.default_code, MESSAGES[exc.status_code])]
    code: Any = exc.get_codes()
    return [FieldError(None, code, str(exc.detail))]
