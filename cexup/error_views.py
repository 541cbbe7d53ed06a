"""The error handlers of Django: the response format of the API under /api/, a page elsewhere."""

import sys

from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views import defaults

from devices.api import responses
from devices.api.exceptions import Unavailable
from devices.db.transactions import is_outage


def error(request: HttpRequest, exception: Exception, *, code: int) -> HttpResponse:
    return responses.api_error_response(request, code, exception) or _page(request, f"{code}.html", code)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _page(request, "403_csrf.html", 403)


def server_error(request: HttpRequest) -> HttpResponse:
    if is_outage(sys.exception()):
        return responses.api_error_response(request, 503) or _retry("503.html", Unavailable.wait)
    return responses.api_error_response(request, 500) or defaults.server_error(request)


def _retry(template: str, seconds: int) -> HttpResponse:
    """Return a page that needs no query."""
    return HttpResponse(render_to_string(template), status=503, headers={"Retry-After": str(seconds)})


def _page(request: HttpRequest, template: str, code: int) -> HttpResponse:
    if not hasattr(request, "user"):  # a middleware before AuthenticationMiddleware failed
        request.user = AnonymousUser()
    return render(request, template, admin.site.each_context(request), status=code)
