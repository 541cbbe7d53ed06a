"""The forms of the pages of devices."""

from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.functional import Promise, lazy
from django.utils.html import format_html
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelect2Widget,
    UnfoldAdminSelectWidget,
    UnfoldBooleanWidget,
)

from devices.access.actor import Actor
from devices.models import Channel, Device, Hospital
from devices.registry.device_fields import CLEANERS, DeviceData
from devices.registry.validation import find_problems
from devices.values.device_types import DeviceType
from devices.values.errors import UNIQUE, FieldError
from devices.values.scope import Scope

EXPLANATIONS = {
    DeviceType.CORPORATE: _("It belongs to the hospital."),
    DeviceType.CONSUMER: _("It belongs to a patient."),
}
MAC_ATTRIBUTES = {
    "autocapitalize": "characters",
    "autocomplete": "off",
    "autocorrect": "off",
    "inputmode": "text",
    "placeholder": "D0:61:AE:D4:58:94",
    "spellcheck": "false",
}
# After the message that a device has this name or MAC address, if the device is out of scope.
NAME_ELSEWHERE = _(
    "It is not in your hospitals, and a name can be used only once. Add the ward or the name of your hospital, for "
    "example “Tensimeter 1 – %(hospital)s”."
)
MAC_ELSEWHERE = _("It is not in your hospitals. Compare the address with the label on the device, or ask an operator.")


def type_field() -> forms.ChoiceField:
    """Return two cards with an explanation. None is selected, because a wrong type is easily overlooked."""
    cards: list[tuple[str, str | Promise]] = [
        (kind.value, lazy(_type_card, str)(kind, explanation)) for kind, explanation in EXPLANATIONS.items()
    ]
    return forms.ChoiceField(
        label=_("Type"), choices=cards, widget=UnfoldAdminRadioSelectWidget(attrs={"class": "type-card"})
    )


def _type_card(kind: DeviceType, explanation: Promise) -> str:
    return format_html('<strong>{}</strong> <span class="type-explanation">{}</span>', kind.label, explanation)


class DeviceForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    actor = Actor(Channel.ADMIN, scope=Scope())  # the user's; DeviceAdmin sets it
    version = forms.CharField(required=False, widget=forms.HiddenInput)  # of the device that the form shows
    device_type = type_field()

    class Meta:
        model = Device
        fields = ("device_name", "device_mac", "device_type", "device_holder")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["device_mac"].widget.attrs |= MAC_ATTRIBUTES
        self.fields["device_mac"].help_text = _(
            "It is printed on the device or its box. You can type it with or without colons."
        )
        if self.instance.pk:
            self.fields["version"].initial = self.instance.updated_at.isoformat()
        else:
            self.fields["device_name"].help_text = _(
                "For example the kind of device and its place: “Tensimeter IGD 1”."
            )

    def clean_device_name(self) -> str | None:
        return CLEANERS["device_name"](self.cleaned_data["device_name"])

    def clean_device_mac(self) -> str | None:
        return CLEANERS["device_mac"](self.cleaned_data["device_mac"])

    def validate_unique(self) -> None:
        """Add the errors. Link to the device that has the same name or MAC, if it is in the user's scope."""
        known = {0: self.instance.pk} if self.instance.pk else {}
        for problem in find_problems([self.item()], self.actor, known=known):
            if problem.field and problem.field not in self.errors:
                self.add_error(problem.field, self._describe(problem))

    def _describe(self, problem: FieldError) -> Any:
        if problem.code != UNIQUE:
            return problem.message
        value = self.cleaned_data[str(problem.field)]
        same = Device.objects.in_scope(self.actor.scope).filter(**{str(problem.field): value})
        if other := same.exclude(pk=self.instance.pk).first():
            url = reverse("admin:devices_device_change", args=[other.pk])
            return format_html('{} <a href="{}" class="underline">{}</a>', problem.message, url, other)
        hint: object = MAC_ELSEWHERE
        if problem.field == "device_name":
            hint = NAME_ELSEWHERE % {"hospital": self.cleaned_data.get("device_holder") or "RS Harapan"}
        return format_lazy("{} {}", problem.message, hint)

    def is_unchanged(self, device: Device) -> bool:
        return self.cleaned_data["version"] in ("", device.updated_at.isoformat())

    def item(self) -> DeviceData:
        """Return the valid fields."""
        values = {field: value for field, value in self.cleaned_data.items() if field in CLEANERS}
        hospital = values.get("device_holder")
        return cast("DeviceData", values | {"device_holder": hospital.name if hospital else None})


class TransferForm(forms.Form):
    device_holder = forms.ModelChoiceField(
        Hospital.objects.none(),
        label=_("New hospital"),
        required=False,
        widget=UnfoldAdminSelect2Widget,
        empty_label=_("Choose a hospital"),
    )
    no_hospital = forms.BooleanField(label=_("No hospital"), required=False, widget=UnfoldBooleanWidget)

    def __init__(self, *args: Any, scope: Scope, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["device_holder"].queryset = Hospital.objects.in_scope(scope).order_by("name")  # type: ignore[attr-defined]
        if scope.hospitals is not None:
            del self.fields["no_hospital"]

    def clean(self) -> None:
        hospital, no_hospital = self.cleaned_data.get("device_holder"), self.cleaned_data.get("no_hospital")
        if "device_holder" not in self.errors and bool(hospital) == bool(no_hospital):
            raise ValidationError({"device_holder": _("Choose the new hospital of the devices.")})


class TypeForm(forms.Form):
    device_type = type_field()


class ExportForm(forms.Form):
    ending = forms.ChoiceField(
        label=_("Format"), choices=[(".xlsx", _("Excel (XLSX)")), (".csv", "CSV")], widget=UnfoldAdminSelectWidget
    )
