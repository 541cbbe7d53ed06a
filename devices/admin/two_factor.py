"""Pages of two-factor authentication: set it up, enter a code at sign-in, renew the recovery codes."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import segno
from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from devices.accounts import sessions, two_factor
from devices.admin.identity import CodeOrRecoveryCodeForm, SetUpForm, accept, render_page

for model in (TOTPDevice, StaticDevice):  # the pages of these models would show secrets
    admin.site.unregister(model)


class TwoFactorMiddleware:
    """Redirect users until they enter a code, if they have or need two-factor authentication (STAFF_OTP)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if page := self._page_instead(request):
            return redirect(f"{page}?{urlencode({'next': request.get_full_path()}, safe='/')}")
        return self.get_response(request)

    def _page_instead(self, request: HttpRequest) -> str | None:
        user: Any = request.user
        # `path` would begin with the URL prefix of the registry, if there is one.
        if not request.path_info.startswith("/admin/") or not user.is_authenticated or user.is_verified():
            return None
        is_set_up = two_factor.is_enrolled(user)
        if not is_set_up and settings.STAFF_OTP == "optional":
            return None
        page = reverse("two_factor" if is_set_up else "two_factor_settings")
        return None if request.path in {page, reverse("admin:logout"), reverse("admin:jsi18n")} else page


@never_cache
def verify_view(request: HttpRequest) -> HttpResponse:
    form = CodeOrRecoveryCodeForm(request.POST or None, request=request)
    if not form.is_valid():
        return render_page(request, "admin/two_factor.html", title=_("Enter a code"), form=form)
    accept(form)
    next_url = request.GET.get("next", "")
    is_safe = url_has_allowed_host_and_scheme(next_url, {request.get_host()}, request.is_secure())
    return redirect(next_url if is_safe else "admin:index")


@never_cache
def settings_view(request: HttpRequest) -> HttpResponse:
    """Show the page to set it up or the page to manage it. The menu has one link to both."""
    return _manage(request) if two_factor.is_enrolled(request.user) else _set_up(request)


def _set_up(request: HttpRequest) -> HttpResponse:
    """Show the session's secret until the user enters the password and a code of the app.

    Each session has a different secret: a thief who knows the password cannot see the secret that the user sets up.
    """
    user: Any = request.user
    form = SetUpForm(request.POST or None, request=request)
    if form.is_valid():
        accept(form)
        return _show_recovery_codes(request)
    app = two_factor.start_enrollment(user, sessions.current_id())
    return render_page(
        request,
        "admin/two_factor_set_up.html",
        title=_("Two-factor authentication"),
        form=form,
        app_url=app.config_url,
        qr=segno.make(app.config_url, error="m").svg_data_uri(scale=5, border=2, light="#fff"),
        secret=two_factor.format_secret(app),
        is_optional=settings.STAFF_OTP == "optional",
    )


def _manage(request: HttpRequest) -> HttpResponse:
    """Renew the recovery codes or turn it off. Both need a code, because the session could be stolen."""
    user: Any = request.user
    form = CodeOrRecoveryCodeForm(request.POST or None, request=request)
    is_optional = settings.STAFF_OTP == "optional"
    if not form.is_valid():
        context = {"form": form, "left": two_factor.recovery_codes_left(user), "is_optional": is_optional}
        return render_page(request, "admin/two_factor_state.html", title=_("Two-factor authentication"), **context)
    accept(form)
    if "renew" in request.POST:
        return _show_recovery_codes(request)
    if "turn_off" in request.POST and is_optional:
        two_factor.reset(user)
        messages.success(request, _("Two-factor authentication is off."))
        return redirect("admin:index")  # the set-up page shows no messages
    return redirect("two_factor_settings")


def _show_recovery_codes(request: HttpRequest) -> HttpResponse:
    codes = two_factor.new_recovery_codes(request.user)  # type: ignore[arg-type]  # signed in
    context = {"text": "\n".join(codes), "continue_url": reverse("admin:index")}
    return render_page(request, "admin/recovery_codes.html", title=_("Two-factor authentication"), **context)
