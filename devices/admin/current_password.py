"""Forms that check the password of the signed-in user."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.forms import AdminOwnPasswordChangeForm
from unfold.widgets import UnfoldAdminPasswordWidget

from devices.current_password import is_current_password


class ChecksPassword(forms.Form):
    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def checked(self, name: str) -> str:
        """Return the password in the field of this name. Wrong ones are counted.

        Raises:
            ValidationError: it is wrong.
            TooManyAttempts, HashingBusy: it was not checked. SignInLimitMiddleware responds with 429 and 503.
        """
        text: str = self.cleaned_data[name]
        if not is_current_password(self.request, text):
            raise ValidationError(_("This password is wrong."))
        return text


class CurrentPasswordForm(ChecksPassword):
    password = forms.CharField(
        label=_("Your password"),
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "current-password"}),
    )

    def clean_password(self) -> str:
        return self.checked("password")


class ChangePasswordForm(ChecksPassword, AdminOwnPasswordChangeForm):
    def clean_old_password(self) -> str:
        """Check it as above: Django's form counts no wrong passwords."""
        return self.checked("old_password")
