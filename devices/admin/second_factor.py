"""The pages of the second factor: set it up, enter a code at sign-in, renew the recovery codes."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import django_otp
import segno
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.generic import FormView
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.widgets import UnfoldAdminTextInputWidget

from devices import audit, denials, second_factor, sessions, step_up
from devices.admin.current_password import CurrentPasswordForm
from devices.audit import What
from devices.sign_in_limits import TooManyAttempts

for model in (TOTPDevice, StaticDevice):  # their pages would show secrets
    admin.site.unregister(model)


class SecondFactorMiddleware:
    """Redirect users of the admin who have a second factor, or must have one (STAFF_OTP), until they give a code."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if page := self._page_instead(request):
            return redirect(f"{page}?{urlencode({'next': request.get_full_path()}, safe='/')}")
        return self.get_response(request)

    def _page_instead(self, request: HttpRequest) -> str | None:
        user: Any = request.user
        # Not `path`: it begins with the prefix below which the registry is served, if there is one.
        if not request.path_info.startswith("/admin/") or not user.is_authenticated or user.is_verified():
            return None
        if second_factor.is_set_up(user):
            page = reverse("second_factor")
        elif settings.STAFF_OTP == "required":
            page = reverse("second_factor_set_up")
        else:
            return None
        return None if request.path in {page, reverse("admin:logout"), reverse("admin:jsi18n")} else page


class CodeForm(forms.Form):
    code = forms.CharField(
        label=_("Code"),
        max_length=20,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "inputmode": "text", "autofocus": True, "spellcheck": "false"}
        ),
    )

    def __init__(self, *args: Any, check: Callable[[str], Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.check = check

    def clean_code(self) -> str:
        text: str = self.cleaned_data["code"]
        try:
            self.device = self.check(text)
        except TooManyAttempts as error:
            message = ngettext(
                "Too many wrong codes. Try again in %(count)d minute, or ask an operator for a new password.",
                "Too many wrong codes. Try again in %(count)d minutes, or ask an operator for a new password.",
                error.minutes,
            )
            raise ValidationError(message % {"count": error.minutes}) from error
        if self.device is None:
            raise ValidationError(_("This code is wrong, or was used already. Wait for the next one."))
        return text


@method_decorator(never_cache, "dispatch")
class SecondFactorPage(FormView):  # type: ignore[type-arg]  # Django's takes no parameter when it runs
    form_class = CodeForm
    title: Any = ""

    def check(self, code: str) -> Any:
        """Return the device that the code is of; None if the code is wrong."""
        return second_factor.check(self.user, code)

    @property
    def user(self) -> Any:
        return self.request.user

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "check": self.check}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**admin.site.each_context(self.request), "title": self.title, **super().get_context_data(**kwargs)}

    def form_invalid(self, form: CodeForm) -> HttpResponse:
        denials.note(self.request, What.CODE_REFUSED, about=self.user)
        return super().form_invalid(form)

    def form_valid(self, form: CodeForm) -> HttpResponse:
        self.request.session.cycle_key()
        django_otp.login(self.request, form.device)
        step_up.confirmed(self.request)
        audit.note(What.CODE_ACCEPTED, about=self.user, device=form.device.name)
        return self.go_on(form)

    def go_on(self, form: CodeForm) -> HttpResponse:
        wanted = self.request.GET.get("next", "")
        safe = url_has_allowed_host_and_scheme(wanted, {self.request.get_host()}, self.request.is_secure())
        return redirect(wanted if safe else "admin:index")


class CheckSecondFactor(SecondFactorPage):
    template_name = "admin/second_factor.html"
    title = _("Enter a code")


class RecoveryCodesPage(SecondFactorPage):
    """Shows new recovery codes after a right code."""

    title = _("Two-factor sign-in")

    def go_on(self, form: CodeForm) -> HttpResponse:
        context = {
            **admin.site.each_context(self.request),
            "title": self.title,
            "text": "\n".join(second_factor.new_recovery_codes(self.user)),
            "continue_url": reverse("admin:index"),
        }
        return render(self.request, "admin/recovery_codes.html", context)


class SetUpForm(CurrentPasswordForm, CodeForm):
    field_order = ("password", "code")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["code"].widget.attrs["autofocus"]  # users scan first, then type the password

    def clean_code(self) -> str:
        """Check no code after a wrong password: a right code sets up the app."""
        return self.cleaned_data["code"] if "password" in self.errors else super().clean_code()


class SetUpSecondFactor(RecoveryCodesPage):
    """Shows the session's secret until a code proves that the app has it, and asks for the password.

    Each session has its own secret: a thief who knows the password cannot learn the one that the user sets up.
    """

    template_name = "admin/second_factor_set_up.html"
    form_class = SetUpForm

    def check(self, code: str) -> Any:
        return second_factor.confirm(self.user, code, sessions.current_id())

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "request": self.request}

    def form_invalid(self, form: CodeForm) -> HttpResponse:
        if "password" in form.errors:  # no code was checked
            return self.render_to_response(self.get_context_data(form=form))
        return super().form_invalid(form)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        app = second_factor.begin(self.user, sessions.current_id())
        qr = segno.make(app.config_url, error="m").svg_data_uri(scale=5, border=2, light="#fff")
        return {**super().get_context_data(**kwargs), "qr": qr, "secret": second_factor.secret_of(app)}


class KeepSecondFactor(RecoveryCodesPage):
    """Renews the recovery codes, or turns the second factor off, after another code: the session could be stolen."""

    template_name = "admin/second_factor_state.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        left = second_factor.recovery_codes_left(self.user)
        return {**super().get_context_data(**kwargs), "left": left, "is_optional": settings.STAFF_OTP == "optional"}

    def go_on(self, form: CodeForm) -> HttpResponse:
        if "renew" in self.request.POST:
            return super().go_on(form)
        if "turn_off" in self.request.POST and settings.STAFF_OTP == "optional":
            second_factor.reset(self.user)
            messages.success(self.request, str(_("Two-factor sign-in is off.")))
            return redirect("admin:index")  # the page to set it up shows no message
        return redirect("second_factor_set_up")


def set_up_or_keep(request: HttpRequest) -> HttpResponse:
    """Show the page to set it up, or to keep it: the menu has one link to both."""
    page = KeepSecondFactor if second_factor.is_set_up(request.user) else SetUpSecondFactor
    return page.as_view()(request)  # type: ignore[return-value]
