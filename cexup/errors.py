"""What is answered where no view answers: the envelope under /api/, elsewhere a page that leads back."""

import sys
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import loader
from django.utils.translation import gettext_lazy as _
from django.views import defaults

from devices.api import envelope
from devices.api.errors import Unavailable
from devices.hashing import HashingBusy
from devices.transactions import is_outage

WORDS = {
    400: (_("This cannot be read"), _("The address or the form has something in it that does not belong there.")),
    403: (_("This is not for you"), _("You may not open this page. An operator can tell you who may.")),
    404: (_("There is nothing here"), _("What you look for does not exist, or is not within your hospitals.")),
}
STALE = _("This form has been open for too long, or was opened before you signed in. Go back, reload it and try again.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return envelope.outside_views(request, 400) or _page(request, 400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return envelope.outside_views(request, 403) or _page(request, 403)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return envelope.outside_views(request, 404) or _page(request, 404)


def stale_form(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _page(request, 403, explanation=STALE)


def server_error(request: HttpRequest) -> HttpResponse:
    if is_outage(sys.exception()):
        return envelope.outside_views(request, 503) or _unavailable()
    return envelope.outside_views(request, 500) or defaults.server_error(request)


def _unavailable() -> HttpResponse:
    """Return a page for which the database is asked nothing: whose session it is, say."""
    headers = {"Retry-After": str(Unavailable.wait)}
    return HttpResponse(loader.get_template("503.html").render(), status=503, headers=headers)


def hashing_busy() -> HttpResponse:
    """Return a page for a request whose password was not checked, at as little cost."""
    headers = {"Retry-After": str(HashingBusy.wait)}
    return HttpResponse(loader.get_template("503_hashing.html").render(), status=503, headers=headers)


def _page(request: HttpRequest, code: int, **words: Any) -> HttpResponse:
    if not hasattr(request, "user"):  # it failed before anybody asked who it is
        request.user = AnonymousUser()
    title, explanation = WORDS[code]
    context = {
        **admin.site.each_context(request),
        "title": title,
        "explanation": explanation,
        "lead_back": _("To the first page"),
        **words,
    }
    return render(request, "admin/error.html", context, status=code)
