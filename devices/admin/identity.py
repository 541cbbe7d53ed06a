"""Forms that check the password or a code of the signed-in user, and the steps after a successful check.

With a stolen session, an attacker must not be able to guess the password or lock out the user's other sessions. So
each session can send five wrong passwords within 15 minutes.
"""

from typing import Any

import django_otp
from django import forms
from django.contrib import admin
from django.contrib.auth.hashers import check_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.forms import AdminOwnPasswordChangeForm
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from devices.accounts import sessions, sign_in_limits, two_factor
from devices.accounts.sign_in_limits import TooManyAttempts
from devices.audit import audit_log, denials
from devices.audit.audit_log import Action
from devices.values.rates import Rate

WRONG_PASSWORDS = Rate(5, "15min")  # of one session


class IdentityForm(forms.Form):
    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        self.user: Any = request.user

    def check_password(self, text: str) -> str:
        """Return the password if it is correct. A wrong password is counted and recorded.

        Raises:
            ValidationError: the password is wrong.
            TooManyAttempts, HashingBusy: it was not checked. SignInLimitMiddleware returns 429 or 503.
        """
        limit = f"password:{sessions.current_id()[:40]}", WRONG_PASSWORDS
        sign_in_limits.raise_if_reached([limit])
        if check_password(text, self.user.password):  # user.check_password can renew the hash, which ends the session
            return text
        sign_in_limits.count([limit])
        sign_in_limits.count_failure(self.request)
        denials.record_denial(self.request, Action.PASSWORD_REJECTED, obj=self.user)
        raise ValidationError(_("This password is wrong."))


class PasswordForm(IdentityForm):
    password = forms.CharField(
        label=_("Your password"),
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "current-password"}),
    )

    def clean_password(self) -> str:
        return self.check_password(self.cleaned_data["password"])


class ChangePasswordForm(IdentityForm, AdminOwnPasswordChangeForm):
    def clean_old_password(self) -> str:
        """Count wrong passwords, which Django's form does not."""
        return self.check_password(self.cleaned_data["old_password"])


class CodeForm(IdentityForm):
    """After `is_valid`, `device` is the app or the set of recovery codes that the code belongs to."""

    code = forms.CharField(
        label=_("Code"),
        max_length=20,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True, "spellcheck": "false"}
        ),
    )

    def check_code(self, code: str) -> Any:
        return two_factor.verify(self.user, code)

    def clean_code(self) -> str:
        text: str = self.cleaned_data["code"]
        try:
            self.device = self.check_code(text)
        except TooManyAttempts as error:
            message = ngettext(
                "Too many wrong codes. Try again in %(count)d minute, or ask an operator for a new password link.",
                "Too many wrong codes. Try again in %(count)d minutes, or ask an operator for a new password link.",
                error.minutes,
            )
            raise ValidationError(message % {"count": error.minutes}) from error
        if self.device is None:
            raise ValidationError(_("This code is wrong or was already used. Wait for the next code."))
        return text

    def clean(self) -> None:
        if self.errors.keys() == {"code"}:  # after a wrong password no code is checked
            denials.record_denial(self.request, Action.CODE_REJECTED, obj=self.user)


class CodeOrRecoveryCodeForm(CodeForm):
    """Accept a code of the app or a recovery code.

    A recovery code has letters, which the keyboard of phones for `inputmode=numeric` lacks. So it has its own field.
    """

    recovery_code = forms.CharField(
        label=_("Recovery code"),
        max_length=20,
        required=False,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocapitalize": "none", "autocomplete": "off", "autocorrect": "off", "spellcheck": "false"}
        ),
    )
    field_order = ("recovery_code", "code")  # `clean_code` reads both

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].required = False

    def clean_code(self) -> str:
        self.cleaned_data["code"] = self.cleaned_data["code"] or self.cleaned_data.get("recovery_code", "")
        if not self.cleaned_data["code"]:
            raise ValidationError(self.fields["code"].error_messages["required"], code="required")
        return super().clean_code()


class SetUpForm(CodeForm, PasswordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["code"].widget.attrs["autofocus"]  # users scan the QR code before they type the password

    def check_code(self, code: str) -> Any:
        return two_factor.confirm_enrollment(self.user, code, sessions.current_id())

    def clean_code(self) -> str:
        """Check no code after a wrong password, because a valid code sets up the app."""
        return self.cleaned_data["code"] if "password" in self.errors else super().clean_code()


def accept(form: PasswordForm | CodeForm) -> None:
    """Renew the session key, and store the confirmation in the session. The form is valid."""
    form.request.session.cycle_key()
    sessions.confirm(form.request)
    if isinstance(form, CodeForm):
        django_otp.login(form.request, form.device)
        audit_log.record(Action.CODE_ACCEPTED, obj=form.user, device=form.device.name)


def render_page(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    return render(request, template, {**admin.site.each_context(request), **context})
