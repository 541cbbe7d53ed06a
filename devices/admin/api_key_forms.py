"""The forms of the API keys in the admin."""

from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanSwitchWidget,
)

from devices.accounts import api_keys
from devices.accounts.api_keys import SETTINGS
from devices.admin.hospital_fields import HospitalsField
from devices.models import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, ApiKey, Hospital, clean_networks, clean_rate
from devices.registry import device_fields

HELP_TEXTS: dict[str, Any] = {
    "name": _("Which application uses this key, and where. For example: Ward app of RS Harapan."),
    "read_only": _("The key can read devices, but not register, change or retire them."),
    "naming": _("How the names of fields are written in requests and responses. Ask the developer of the application."),
    "page_size": format_lazy(
        _("Devices on a page if the application does not send the size: 1 to {limit}. Leave empty for {default}."),
        limit=MAX_PAGE_SIZE,
        default=DEFAULT_PAGE_SIZE,
    ),
    "unknown_holder": _("The effect if the application sends the name of a hospital that does not exist."),
    "allowed_networks": _("Leave empty for all networks. Otherwise one network a line, such as 10.0.0.0/8."),
    "expires_at": _("Leave empty for a key that does not expire."),
}
NAMINGS = [
    ("", _("default: snake_case for a new key, both for a legacy key")),
    (ApiKey.Naming.SNAKE_CASE.value, "snake_case: device_name, device_mac"),
    (ApiKey.Naming.CAMEL_CASE.value, "camelCase: deviceName, deviceMac"),
    (ApiKey.Naming.BOTH.value, _("both: each field in both spellings")),
]


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    hospitals = HospitalsField(
        label=_("Hospitals"), required=False, help_text=_("The key can use the devices of these hospitals only.")
    )
    all_hospitals = forms.BooleanField(
        label=_("All hospitals"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=_("The key can use all devices, also those without a hospital and those of future hospitals."),
    )
    sandbox = forms.BooleanField(
        label=_("Sandbox"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=_("For tests of developers: the key can use only the sandbox, a hospital that you can empty."),
    )
    value = forms.CharField(
        label=_("Legacy key"),
        required=False,
        validators=[api_keys.check_legacy],
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text=_("Only to import a key that an existing client already uses. Leave empty to generate a new key."),
    )

    class Meta:
        model = ApiKey
        fields = ("name", "hospitals", *SETTINGS)
        widgets = {"allowed_networks": UnfoldAdminTextareaWidget(attrs={"rows": 3})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "hospitals" in self.fields:  # only sandbox keys are for the sandbox, and only they begin with cxt_
            self.fields["hospitals"].queryset = Hospital.objects.filter(sandbox=False).order_by("name")  # type: ignore[attr-defined]
        for name in HELP_TEXTS.keys() & self.fields.keys():  # the page of an existing key has no form
            self.fields[name].help_text = HELP_TEXTS[name]
        if "naming" in self.fields:
            self.fields["naming"].choices = NAMINGS  # type: ignore[attr-defined]
            self.fields["naming"].required, self.initial["naming"] = False, ""

    def clean(self) -> None:
        """Require an explicit choice, so that no key is unrestricted because a field was forgotten."""
        super().clean()
        chosen = [bool(self.cleaned_data.get(name)) for name in ("hospitals", "all_hospitals", "sandbox")]
        if "hospitals" not in self.errors and sum(chosen) != 1:
            self.add_error("hospitals", _("Choose hospitals, or select either “All hospitals” or “Sandbox”."))
        if self.cleaned_data.get("sandbox") and self.cleaned_data.get("value"):
            self.add_error("value", _("An imported key cannot be a sandbox key. Issue a new key for the sandbox."))

    def clean_name(self) -> str:
        return device_fields.clean_text(self.cleaned_data["name"])

    def clean_naming(self) -> str:
        return self.cleaned_data["naming"] or api_keys.default_naming(is_legacy=bool(self.data.get("value")))

    def clean_expires_at(self) -> datetime | None:
        expires_at: datetime | None = self.cleaned_data["expires_at"]
        if expires_at and expires_at <= timezone.now():
            raise ValidationError(_("The expiry must be in the future."))
        return expires_at

    def clean_allowed_networks(self) -> str:
        return clean_networks(self.cleaned_data["allowed_networks"])

    def clean_rate(self) -> str | None:
        text: str | None = self.cleaned_data["rate"]
        return clean_rate(text) if text else None


class RotateForm(forms.Form):
    overlap = forms.TypedChoiceField(
        label=_("The old key ends"),
        choices=[
            (0, _("immediately")),
            (1, _("after 1 hour")),
            (24, _("after 24 hours")),
            (7 * 24, _("after 7 days")),
            (30 * 24, _("after 30 days")),
        ],
        coerce=int,
        initial=24,
        widget=UnfoldAdminSelectWidget,
    )
