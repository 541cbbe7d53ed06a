"""Apply the limits of sign_in_limits.py to the admin's pages: 429 beyond them, 503 if hashing.py is busy."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import loader
from django.utils.translation import gettext as _

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
        if request.method == "POST" and name in LIMITED:
            try:
                sign_in_limits.check(request, is_sign_in=name == SIGN_IN)
            except TooManyAttempts as error:
                return _too_many(request, error)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, TooManyAttempts):
            return _too_many(request, exception)
        return errors.hashing_busy() if isinstance(exception, HashingBusy) else None


def locked_out(request: HttpRequest, response: HttpResponse | None = None, credentials: Any = None) -> HttpResponse:
    """Respond to the sign-in of a user whom axes has locked (AXES_LOCKOUT_CALLABLE)."""
    minutes = int(settings.AXES_COOLOFF_TIME.total_seconds() // 60)
    context = {**admin.site.each_context(request), "title": _("Too many failed sign-ins"), "minutes": minutes}
    return render(request, "admin/locked_out.html", context, status=HTTPStatus.TOO_MANY_REQUESTS)


def _too_many(request: HttpRequest, error: TooManyAttempts) -> HttpResponse:
    """Return a page without the admin's frame, which takes ten times as long: an attack has it rendered often."""
    denials.note(request, What.SIGN_IN_LIMITED)
    request.denial_recorded = True  # type: ignore[attr-defined]
    page = loader.get_template("429.html").render({"minutes": error.minutes})
    return HttpResponse(page, status=HTTPStatus.TOO_MANY_REQUESTS, headers={"Retry-After": str(error.seconds)})
