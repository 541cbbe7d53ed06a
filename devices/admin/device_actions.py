"""What can be done to many devices at once: each after a page that says what will happen to how many."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelect2Widget, UnfoldAdminSelectWidget, UnfoldBooleanWidget

from devices import audit, reach, registry
from devices.admin import confirmation, exports
from devices.audit import What
from devices.drafts import DeviceType
from devices.headings import Unreadable
from devices.models import DeviceQuerySet, Hospital
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

    def clean(self) -> dict[str, Any]:
        if "device_holder" not in self.errors and bool(self.cleaned_data["device_holder"]) == bool(
            self.cleaned_data.get("nobody")
        ):
            self.add_error("device_holder", ValidationError(_("Choose where the devices go."), code="required"))
        return self.cleaned_data


class TypeForm(forms.Form):
    device_type = forms.ChoiceField(label=_("Type"), choices=DeviceType.choices, widget=UnfoldAdminSelectWidget)


class ExportForm(forms.Form):
    ending = forms.ChoiceField(
        label=_("Format"), choices=[(".xlsx", _("Excel (XLSX)")), (".csv", "CSV")], widget=UnfoldAdminSelectWidget
    )


class DeviceActions(ModelAdmin):
    actions = ("transfer", "change_type", "export", "retire")

    @admin.action(description=_("Transfer to another hospital"), permissions=["change"])
    def transfer(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse | None:
        form = TransferForm(confirmation.sent(request), reach=reach.of_user(request.user))
        return confirmation.carry_out(
            self,
            request,
            queryset,
            lambda by: registry.transfer(queryset, form.cleaned_data["device_holder"], by),
            action="transfer",
            title=_("Transfer"),
            will=ngettext_lazy(
                "%(count)d device will go to the hospital that you choose here.",
                "%(count)d devices will go to the hospital that you choose here.",
                "count",
            ),
            done=ngettext_lazy("%(count)d device was transferred.", "%(count)d devices were transferred.", "count"),
            form=form,
        )

    @admin.action(description=_("Change the type"), permissions=["change"])
    def change_type(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse | None:
        form = TypeForm(confirmation.sent(request))
        return confirmation.carry_out(
            self,
            request,
            queryset,
            lambda by: registry.change_type(queryset, form.cleaned_data["device_type"], by),
            action="change_type",
            title=_("Change the type"),
            will=ngettext_lazy(
                "%(count)d device will have the type that you choose here.",
                "%(count)d devices will have the type that you choose here.",
                "count",
            ),
            done=ngettext_lazy("%(count)d device was changed.", "%(count)d devices were changed.", "count"),
            form=form,
        )

    @admin.action(description=_("Export"), permissions=["view"])
    def export(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponseBase | None:
        form = ExportForm(confirmation.sent(request))
        will = ngettext_lazy(
            "%(count)d device will be written to a file, which can be edited and imported again.",
            "%(count)d devices will be written to a file, which can be edited and imported again.",
            "count",
        )
        if asked := confirmation.ask(self, request, queryset, action="export", title=_("Export"), will=will, form=form):
            return asked
        ending, own = form.cleaned_data["ending"], reach.of_user(request.user).own
        try:
            file = exports.download(queryset, ending)
        except Unreadable as error:  # more rows than a worksheet has
            messages.error(request, str(error))
            return None
        audit.note(What.EXPORTED, hospital_id=own.pk if own else None, devices=queryset.count(), format=ending)
        return file

    @admin.action(description=_("Take out of the registry"), permissions=["delete"])
    def retire(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse | None:
        return confirmation.carry_out(
            self,
            request,
            queryset,
            lambda by: registry.retire(queryset, by),
            action="retire",
            title=_("Take out of the registry"),
            will=ngettext_lazy(
                "%(count)d device will be taken out of the registry, and can send no more data. "
                "Its history stays, and it can be restored.",
                "%(count)d devices will be taken out of the registry, and can send no more data. "
                "Their history stays, and they can be restored.",
                "count",
            ),
            done=ngettext_lazy(
                "%(count)d device was taken out of the registry.",
                "%(count)d devices were taken out of the registry.",
                "count",
            ),
        )
