"""Turn the exception of a view into a response."""

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.http import Http404, HttpResponse
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from devices.access import conflict_limits
from devices.api.authentication import HEADER
from devices.api.exceptions import CompressedBody, InternalError, TooManyRequests, Unavailable
from devices.api.field_names import names_for
from devices.api.responses import django_error, error_response, exception_response
from devices.db.transactions import is_outage, outage_cause
from devices.values.error_codes import ErrorCode
from devices.values.errors import FieldError, ValidationFailed
from devices.values.outages import with_cause

logger = logging.getLogger("django.request")


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """Return the response to an exception of a view, or None for those that the handlers of cexup/urls.py handle.

    The response does not depend on the renderers of the view, which can be HTML.
    """
    request: Request = context["request"]
    if isinstance(exc, (Http404, PermissionDenied)):
        return None
    if isinstance(exc, ValidationFailed):
        return _validation_response(exc, request)
    if isinstance(exc, exceptions.APIException) and (problem := _drf_error(exc, context["view"])):
        response = error_response([problem], exc.status_code)
    else:
        response = exception_response(_api_exception(exc, request))
    if auth_header := getattr(exc, "auth_header", None):
        response["WWW-Authenticate"] = auth_header
    if isinstance(exc, CompressedBody):
        response["Accept-Encoding"] = exc.accepted
    return with_cause(response, outage_cause(exc)) if response.status_code == Unavailable.status_code else response


def _api_exception(exc: Exception, request: Request) -> exceptions.APIException:
    if isinstance(exc, exceptions.APIException):
        return exc
    if isinstance(exc, SuspiciousOperation):
        return django_error(400, exc)
    if is_outage(exc):
        logger.error("The database failed a request: %s", request.path, exc_info=exc)
        return Unavailable()
    logger.error("A request failed: %s", request.path, exc_info=exc)
    got_request_exception.send(sender=exception_handler, request=request)
    return InternalError()


def _validation_response(failed: ValidationFailed, request: Request) -> HttpResponse:
    in_body = request.method not in SAFE_METHODS  # the names of query parameters do not depend on the key
    names = names_for(request.auth) if in_body else {}
    wait = conflict_limits.retry_after() if failed.status == TooManyRequests.status_code else None
    return error_response(failed.problems, failed.status, names, wait)


def _drf_error(exc: exceptions.APIException, view: Any) -> FieldError | None:
    """Return the error for an exception that DRF itself raises, None for another one."""
    if isinstance(exc, (exceptions.NotAuthenticated, exceptions.AuthenticationFailed)):
        message = _("The API key is missing, unknown, revoked or expired. Send a valid key in the x-api-key header.")
        return FieldError(HEADER, ErrorCode.NOT_AUTHENTICATED, message)
    if isinstance(exc, exceptions.MethodNotAllowed):
        names = {"method": view.request.method, "methods": ", ".join(view.allowed_methods)}
        message = _("This endpoint does not support %(method)s. Supported methods: %(methods)s.") % names
        return FieldError(None, ErrorCode.METHOD_NOT_ALLOWED, message)
    if isinstance(exc, exceptions.UnsupportedMediaType):
        message = _("Unsupported content type. Send the body as application/json.")
        return FieldError(None, ErrorCode.UNSUPPORTED_MEDIA_TYPE, message)
    return None
