"""The form that asks signed-in users for their password."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.widgets import UnfoldAdminPasswordWidget

from devices.current_password import TooManyAttempts, is_current_password


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
        text: str = self.cleaned_data["password"]
        try:
            is_right = is_current_password(self.request, text)
        except TooManyAttempts as limited:
            message = ngettext(
                "Too many wrong passwords. Try again in %(count)d second.",
                "Too many wrong passwords. Try again in %(count)d seconds.",
                limited.seconds,
            )
            raise ValidationError(message % {"count": limited.seconds}) from limited
        if not is_right:
            raise ValidationError(_("This password is wrong."))
        return text
