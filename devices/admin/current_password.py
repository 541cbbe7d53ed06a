"""The form that asks signed-in users for their password."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordWidget

from devices.current_password import is_current_password


class CurrentPasswordForm(forms.Form):
    password = forms.CharField(
        label=_("Your password"),
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_password(self) -> str:
        """Check the password.

        Raises:
            TooManyAttempts, HashingBusy: it was not checked. SignInLimitMiddleware makes 429 and 503 of them.
        """
        text: str = self.cleaned_data["password"]
        if not is_current_password(self.request, text):
            raise ValidationError(_("This password is wrong."))
        return text
