"""Apply the limits of sign_in_limits.py to the admin's pages: 429 beyond them, 503 if hashing.py is busy."""

import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from cexup import errors
from devices import denials, device_cookies, sign_in_limits
from devices.audit import What
from devices.hashing import HashingBusy
from devices.sign_in_limits import TooManyAttempts

SIGN_IN = "admin:login"
LIMITED = {SIGN_IN, "change_password", "choose_password", "second_factor", "second_factor_set_up"}  # view names


class SignInLimitMiddleware:
    """Count each request that checks a password or a code: after the CSRF check, so that no other site can send any."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if user_id := getattr(request, "signed_in_user_id", None):
            device_cookies.set_cookie(response, user_id)
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        name = request.resolver_match.view_name if request.resolver_match else ""
        if request.method != "POST" or name not in LIMITED:
            return None
        try:
            sign_in_limits.check(request, is_sign_in=name == SIGN_IN)
        except TooManyAttempts as error:
            return self.process_exception(request, error)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, TooManyAttempts):
            return _too_many(request, exception.seconds)
        if isinstance(exception, HashingBusy):
            return errors.hashing_busy()
        return None


def _too_many(request: HttpRequest, seconds: int) -> HttpResponse:
    """Return a page without the admin's frame, which takes ten times as long: an attack has it rendered often."""
    denials.note(request, What.SIGN_IN_LIMITED)
    request.denial_recorded = True  # type: ignore[attr-defined]
    minutes = math.ceil(seconds / 60)
    context = {
        "title": _("Too many attempts"),
        "explanation": _("Too many passwords or codes were sent from this network or session."),
        "retry": ngettext("Retry in %(count)d minute.", "Retry in %(count)d minutes.", minutes) % {"count": minutes},
    }
    page = loader.get_template("429.html").render(context)
    return HttpResponse(page, status=HTTPStatus.TOO_MANY_REQUESTS, headers={"Retry-After": str(seconds)})
