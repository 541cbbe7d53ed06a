"""The second factor's pages: set it up, give a code at signing in, renew the recovery codes; and who must have it."""

import math
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import django_otp
import segno
from axes.models import AccessFailureLog
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.generic import FormView
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.widgets import UnfoldAdminTextInputWidget

from devices import audit, denials, second_factor, sessions, step_up
from devices.admin.current_password import CurrentPasswordForm
from devices.audit import What
from devices.models import Person
from devices.origin import client_address

for secret in (TOTPDevice, StaticDevice):  # their pages would show them
    admin.site.unregister(secret)


class SecondFactorMiddleware:
    """Let nobody into the admin who has a second factor, or must have one (STAFF_OTP), and has not given it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if page := self._page_instead(request):
            return redirect(f"{page}?{urlencode({'next': request.get_full_path()}, safe='/')}")
        return self.get_response(request)

    def _page_instead(self, request: HttpRequest) -> str | None:
        user: Any = request.user
        # Not `path`: the pages of a registry below a prefix, or of who tells one, begin with that.
        if not request.path_info.startswith("/admin/") or not user.is_authenticated or user.is_verified():
            return None
        if request.path in {reverse("admin:logout"), reverse("admin:jsi18n")}:
            return None
        check, set_up = reverse("second_factor"), reverse("second_factor_set_up")
        if second_factor.is_set_up(user):
            return None if request.path == check else check
        return set_up if settings.STAFF_OTP == "required" and request.path != set_up else None


class CodeForm(forms.Form):
    code = forms.CharField(
        label=_("Code"),
        max_length=20,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "inputmode": "text", "autofocus": True, "spellcheck": "false"}
        ),
    )

    def __init__(self, *args: Any, user: Any, checks: Callable[[Any, str], Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user, self.checks = user, checks

    def clean_code(self) -> str:
        text: str = self.cleaned_data["code"]
        try:
            self.device = self.checks(self.user, text)
        except second_factor.Wait as wait:
            minutes = math.ceil(wait.seconds / 60)
            message = ngettext(
                "Too many wrong codes. Try again in %(count)d minute, or ask an operator for a new password.",
                "Too many wrong codes. Try again in %(count)d minutes, or ask an operator for a new password.",
                minutes,
            )
            raise ValidationError(message % {"count": minutes}) from wait
        if self.device is None:
            raise ValidationError(_("This code is wrong, or was used already. Wait for the next one."))
        return text


@method_decorator(never_cache, "dispatch")
class SecondFactorPage(FormView):  # type: ignore[type-arg]  # Django's takes no parameter when it runs
    form_class = CodeForm
    title: Any = ""
    checks: Any  # of second_factor.py: what a code is looked at with

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "user": self.request.user, "checks": type(self).checks}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        words = {"title": self.title, "go_on_label": _("Continue"), "cancel": _("Sign out")}
        return {**admin.site.each_context(self.request), **words, **super().get_context_data(**kwargs)}

    def form_invalid(self, form: CodeForm) -> HttpResponse:
        AccessFailureLog.objects.create(
            username=self.request.user.get_username(),
            ip_address=client_address(self.request),
            user_agent=self.request.headers.get("User-Agent", "")[:255],
            path_info=self.request.path[:255],
        )
        denials.note(self.request, What.CODE_REFUSED, about=_user(self.request))
        return super().form_invalid(form)

    def form_valid(self, form: CodeForm) -> HttpResponse:
        self.request.session.cycle_key()
        django_otp.login(self.request, form.device)
        step_up.confirmed(self.request)
        audit.note(What.CODE_ACCEPTED, about=_user(self.request), device=form.device.name)
        return self.go_on(form)

    def go_on(self, form: CodeForm) -> HttpResponse:
        wanted = self.request.GET.get("next", "")
        safe = url_has_allowed_host_and_scheme(wanted, {self.request.get_host()}, self.request.is_secure())
        return redirect(wanted if safe else "admin:index")


class CheckSecondFactor(SecondFactorPage):
    template_name = "admin/second_factor.html"
    title = _("Enter a code")
    checks = second_factor.check
    extra_context = {
        "explanation": _("Your authenticator app shows a code of six digits. Without your phone, use a recovery code.")
    }


class RecoveryCodesPage(SecondFactorPage):
    """Shows new recovery codes to who has given a code."""

    title = _("Two-factor sign-in")

    def go_on(self, form: CodeForm) -> HttpResponse:
        context = {
            **admin.site.each_context(self.request),
            "title": self.title,
            "warning": _(
                "Write these recovery codes down and keep them safe: each signs you in once if you have lost your "
                "phone. They are shown this once, and never again."
            ),
            "text": "\n".join(second_factor.new_recovery_codes(_user(self.request))),
            "continue_url": reverse("admin:index"),
        }
        return render(self.request, "admin/key_issued.html", context)


class SetUpForm(CurrentPasswordForm, CodeForm):
    field_order = ("password", "code")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["code"].widget.attrs["autofocus"]  # the app comes first, and then the password

    def clean_code(self) -> str:
        """Check no code after a wrong password, for a right one is confirmed at once."""
        return self.cleaned_data["code"] if "password" in self.errors else super().clean_code()


class SetUpSecondFactor(RecoveryCodesPage):
    """Shows the session's secret until a code proves that the app has it, and asks for the password.

    Another session has another secret: a thief who knows the password cannot learn the one that the user sets up.
    """

    template_name = "admin/second_factor_set_up.html"
    form_class = SetUpForm

    def checks(self, user: User, code: str) -> Any:
        return second_factor.confirm(user, code, sessions.current_id())

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "request": self.request, "checks": self.checks}

    def form_invalid(self, form: CodeForm) -> HttpResponse:
        if "password" in form.errors:  # no code was checked
            return self.render_to_response(self.get_context_data(form=form))
        return super().form_invalid(form)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        device = second_factor.begin(_user(self.request), sessions.current_id())
        qr = segno.make(second_factor.address_of(device), error="m")
        return {
            **super().get_context_data(**kwargs),
            "explanation": _(
                "Scan this with an authenticator app, such as Google Authenticator, Aegis or 2FAS, or type the secret "
                "into it. Then enter your password and the code that it shows."
            ),
            "qr": qr.svg_data_uri(scale=5, border=2, light="#fff"),
            "qr_label": _("QR code for the authenticator app"),
            "secret": second_factor.secret_of(device),
        }

    def go_on(self, form: CodeForm) -> HttpResponse:
        _record(self.request, gettext("Two-factor sign-in was set up."))
        return super().go_on(form)


class KeepSecondFactor(RecoveryCodesPage):
    """Shows who has it what is left of it, and renews the recovery codes or turns it off for one more code.

    A session that somebody left open, or that was stolen, is not enough to get in by later.
    """

    template_name = "admin/second_factor_state.html"
    checks = second_factor.check

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        left = second_factor.recovery_codes_left(_user(self.request))
        state = ngettext(
            "Two-factor sign-in is on. %(count)d recovery code is left.",
            "Two-factor sign-in is on. %(count)d recovery codes are left.",
            left,
        )
        return {
            **super().get_context_data(**kwargs),
            "state": state % {"count": left},
            "explanation": _("Enter a code to change this: of your authenticator app, or a recovery code."),
            "renew": _("New recovery codes"),
            "turn_off": _("Turn it off") if settings.STAFF_OTP == "optional" else "",
        }

    def go_on(self, form: CodeForm) -> HttpResponse:
        if "renew" in self.request.POST:
            _record(self.request, gettext("The recovery codes were renewed."))
            return super().go_on(form)
        if "turn_off" in self.request.POST and settings.STAFF_OTP == "optional":
            second_factor.reset(_user(self.request))
            _record(self.request, gettext("Two-factor sign-in was turned off."))
            messages.success(self.request, str(_("Two-factor sign-in is off.")))
            return redirect("admin:index")  # which shows the message, as the page to set it up does not
        return redirect("second_factor_set_up")


def set_up_or_keep(request: HttpRequest) -> HttpResponse:
    """Answer at the one address that the menu leads to, whether there is a second factor yet or not."""
    page = KeepSecondFactor if second_factor.is_set_up(request.user) else SetUpSecondFactor
    return page.as_view()(request)  # type: ignore[return-value]


def _record(request: HttpRequest, what: str) -> None:
    """Write it into the history of the person, where operators see what was done with their sign-in."""
    person = Person.objects.get(pk=_user(request).pk)
    admin.site.get_model_admin(Person).log_change(request, person, what)


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101  (LoginRequiredMiddleware lets in nobody else)
    return request.user
