"""The error handlers of Django: the response format of the API under /api/, a page elsewhere."""

import sys
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from cexup import logs
from devices.api import responses
from devices.api.exceptions import Unavailable
from devices.db.transactions import is_outage, outage_cause
from devices.templatetags import operator_contact
from devices.values.outages import with_cause


def error(request: HttpRequest, exception: Exception, *, code: int) -> HttpResponse:
    return responses.api_error_response(request, code, exception) or _page(request, f"{code}.html", code)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _page(request, "403_csrf.html", 403)


def server_error(request: HttpRequest) -> HttpResponse:
    exception = sys.exception()
    if is_outage(exception):
        headers = {"Retry-After": str(Unavailable.wait)}
        response = responses.api_error_response(request, 503) or _plain_page("503.html", 503, headers)
        return with_cause(response, outage_cause(exception))
    return responses.api_error_response(request, 500) or _plain_page("500.html", 500)


def _plain_page(template: str, code: int, headers: dict[str, str] | None = None) -> HttpResponse:
    """Return a page that needs no query."""
    return HttpResponse(render_to_string(template, _contact()), status=code, headers=headers)


def _contact() -> dict[str, Any]:
    """Return what a user can send to the operator, and how."""
    return {"request_id": logs.current_request_id.get(), "operator_contact": operator_contact.contact()}


def _page(request: HttpRequest, template: str, code: int) -> HttpResponse:
    if not hasattr(request, "user"):  # a middleware before AuthenticationMiddleware failed
        request.user = AnonymousUser()
    return render(request, template, {**admin.site.each_context(request), **_contact()}, status=code)
