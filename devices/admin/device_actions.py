"""Actions on many devices at once, each after a page that asks for confirmation."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.widgets import UnfoldAdminSelect2Widget, UnfoldAdminSelectWidget, UnfoldBooleanWidget

from devices import audit, origin, reach, registry
from devices.admin import confirmation, exports
from devices.admin.access import Mixin
from devices.audit import What
from devices.drafts import DeviceType
from devices.headings import Unreadable
from devices.models import DeviceQuerySet, Hospital, Through
from devices.reach import Reach

admin.site.disable_action("delete_selected")  # it loads every device to name it; `retire` is ours


class TransferForm(forms.Form):
    device_holder = forms.ModelChoiceField(
        Hospital.objects.none(), label=_("Hospital"), required=False, widget=UnfoldAdminSelect2Widget
    )
    nobody = forms.BooleanField(label=_("To no hospital"), required=False, widget=UnfoldBooleanWidget)

    def __init__(self, *args: Any, reach: Reach, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["device_holder"].queryset = Hospital.objects.within(reach).order_by("name")  # type: ignore[attr-defined]
        if reach.hospitals is not None:
            del self.fields["nobody"]

    def clean(self) -> None:
        hospital, nobody = self.cleaned_data.get("device_holder"), self.cleaned_data.get("nobody")
        if "device_holder" not in self.errors and bool(hospital) == bool(nobody):
            raise ValidationError({"device_holder": _("Choose where the devices go.")})


class TypeForm(forms.Form):
    device_type = forms.ChoiceField(label=_("Type"), choices=DeviceType.choices, widget=UnfoldAdminSelectWidget)


class ExportForm(forms.Form):
    ending = forms.ChoiceField(
        label=_("Format"), choices=[(".xlsx", _("Excel (XLSX)")), (".csv", "CSV")], widget=UnfoldAdminSelectWidget
    )


class DeviceActionsMixin(Mixin):
    actions = ("transfer", "change_type", "export", "retire")

    @admin.action(description=_("Transfer to another hospital"), permissions=["change"])
    def transfer(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse | None:
        form = TransferForm(confirmation.form_data(request), reach=reach.of_user(request.user))
        if not confirmation.is_confirmed(request, queryset.count(), form):
            return confirmation.render_confirmation(self, request, "transfer", queryset, form)
        by = origin.of_request(request, Through.ADMIN)
        count = registry.transfer(queryset, form.cleaned_data["device_holder"], by)
        done = ngettext("%(count)d device was transferred.", "%(count)d devices were transferred.", count)
        messages.success(request, done % {"count": count})
        return None

    @admin.action(description=_("Change the type"), permissions=["change"])
    def change_type(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse | None:
        form = TypeForm(confirmation.form_data(request))
        if not confirmation.is_confirmed(request, queryset.count(), form):
            return confirmation.render_confirmation(self, request, "change_type", queryset, form)
        by = origin.of_request(request, Through.ADMIN)
        count = registry.change_type(queryset, form.cleaned_data["device_type"], by)
        done = ngettext("%(count)d device was changed.", "%(count)d devices were changed.", count)
        messages.success(request, done % {"count": count})
        return None

    @admin.action(description=_("Export"), permissions=["view"])
    def export(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponseBase | None:
        form, count = ExportForm(confirmation.form_data(request)), queryset.count()
        if not confirmation.is_confirmed(request, count, form):
            return confirmation.render_confirmation(self, request, "export", queryset, form)
        ending, own = form.cleaned_data["ending"], reach.of_user(request.user).own
        try:
            file = exports.download(queryset, ending)
        except Unreadable as error:  # more rows than a worksheet has
            messages.error(request, str(error))
            return None
        audit.note(What.EXPORTED, hospital_id=own.pk if own else None, devices=count, format=ending)
        return file

    @admin.action(description=_("Take out of the registry"), permissions=["delete"])
    def retire(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse | None:
        if not confirmation.is_confirmed(request, queryset.count()):
            return confirmation.render_confirmation(self, request, "retire", queryset)
        count = registry.retire(queryset, origin.of_request(request, Through.ADMIN))
        done = ngettext(
            "%(count)d device was taken out of the registry.",
            "%(count)d devices were taken out of the registry.",
            count,
        )
        messages.success(request, done % {"count": count})
        return None
