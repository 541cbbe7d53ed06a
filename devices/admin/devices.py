"""The pages of the devices, and the actions on many devices."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.widgets import UnfoldAdminSelect2Widget, UnfoldAdminSelectWidget, UnfoldBooleanWidget

from devices import registry
from devices.access import scopes
from devices.access.actor import Actor, actor_from_request
from devices.admin import confirmation
from devices.admin.audit_export import AuditExportMixin
from devices.admin.base import ScopedMixin, is_id
from devices.admin.filters import DateRangeFilter, HospitalFilter
from devices.admin.imports import ImportsMixin
from devices.audit import audit_log
from devices.audit.audit_log import Action
from devices.imports import export
from devices.imports.files.header import UnreadableFile
from devices.models import Channel, Device, DeviceCount, DeviceQuerySet, Hospital
from devices.registry.device_fields import CLEANERS, DeviceData
from devices.registry.validation import find_problems
from devices.values import mac
from devices.values.device_types import DeviceType
from devices.values.errors import UNIQUE, FieldError
from devices.values.normalization import normalize
from devices.values.scope import Scope

admin.site.disable_action("delete_selected")  # it loads every device; `retire` replaces it


class DeviceForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    actor = Actor(Channel.ADMIN, scope=Scope())  # the user's; DeviceAdmin sets it
    version = forms.CharField(required=False, widget=forms.HiddenInput)  # of the device that the form shows

    class Meta:
        model = Device
        fields = ("device_name", "device_mac", "device_type", "device_holder")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["version"].initial = self.instance.updated_at.isoformat()

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
        same = {str(problem.field): self.cleaned_data[str(problem.field)]}
        other = Device.objects.in_scope(self.actor.scope).filter(**same).exclude(pk=self.instance.pk).first()
        if other is None:
            return problem.message
        url = reverse("admin:devices_device_change", args=[other.pk])
        return format_html('{} <a href="{}" class="underline">{}</a>', problem.message, url, other)

    def is_unchanged(self, device: Device) -> bool:
        return self.cleaned_data["version"] in ("", device.updated_at.isoformat())

    def item(self) -> DeviceData:
        """Return the valid fields."""
        values = {field: value for field, value in self.cleaned_data.items() if field in CLEANERS}
        hospital = values.get("device_holder")
        return cast("DeviceData", values | {"device_holder": hospital.name if hospital else None})


class TransferForm(forms.Form):
    device_holder = forms.ModelChoiceField(
        Hospital.objects.none(), label=_("Hospital"), required=False, widget=UnfoldAdminSelect2Widget
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
    device_type = forms.ChoiceField(label=_("Type"), choices=DeviceType.choices, widget=UnfoldAdminSelectWidget)


class ExportForm(forms.Form):
    ending = forms.ChoiceField(
        label=_("Format"), choices=[(".xlsx", _("Excel (XLSX)")), (".csv", "CSV")], widget=UnfoldAdminSelectWidget
    )


@admin.register(Device)
class DeviceAdmin(ImportsMixin, AuditExportMixin, ScopedMixin):
    form = DeviceForm
    list_display = ("device_name", "device_mac", "manufacturer", "device_type", "device_holder", "updated_at")
    list_filter = (
        ("device_holder", HospitalFilter),
        "device_type",
        ("updated_at", DateRangeFilter),
        ("created_at", DateRangeFilter),
    )
    list_filter_submit = True
    list_select_related = ("device_holder",)
    search_fields = ("device_name",)  # shows the search box; get_search_results does the search
    autocomplete_fields = ("device_holder",)
    lookups = (
        *("device_holder__id__exact", "device_holder__isnull", "device_type__exact"),
        *("updated_at_from", "updated_at_to", "created_at_from", "created_at_to"),
    )
    ordering = ("-id",)
    sortable_by = ("device_name", "device_mac", "updated_at")  # the columns with an index
    actions = ("transfer", "change_type", "export", "retire")

    def get_paginator(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Use the stored counts if the list is filtered only by hospital and type, or not at all."""
        paginator = super().get_paginator(request, *args, **kwargs)
        filters = {name: value for name, value in request.GET.dict().items() if value and name not in ("p", "o")}
        hospital, device_type = filters.pop("device_holder__id__exact", None), filters.pop("device_type__exact", None)
        if not filters and (hospital is None or is_id(hospital)):
            known = {"device_holder": hospital and int(hospital), "device_type": device_type}
            known = {name: value for name, value in known.items() if value is not None}
            paginator.known = DeviceCount.objects.total(scopes.scope_for_user(request.user), **known)
        return paginator

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Device], search_term: str
    ) -> tuple[QuerySet[Device], bool]:
        text = normalize(search_term)
        if not text or not isinstance(queryset, DeviceQuerySet):
            return queryset, False
        return queryset.search(text, scopes.scope_for_user(request.user)), False

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        scope = scopes.scope_for_user(request.user)
        options = {"queryset": Hospital.objects.in_scope(scope), "initial": scope.default_hospital}
        kwargs |= options | {"required": scope.hospitals is not None}
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_form(self, request: HttpRequest, obj: Device | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)  # a new class for each request
        form.actor = actor_from_request(request, Channel.ADMIN)
        return form

    def save_model(self, request: HttpRequest, obj: Device, form: DeviceForm, change: bool) -> None:
        by = actor_from_request(request, Channel.ADMIN)
        if change:
            registry.update(Device.objects.in_scope(by.scope).filter(pk=obj.pk), form.item(), by, form.is_unchanged)
        else:
            obj.pk = registry.register([form.item()], by).ids[0]

    @admin.display(description=_("manufacturer"))
    def manufacturer(self, device: Device) -> str | None:
        return mac.manufacturer(device.device_mac)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        back = reverse("admin:devices_device_change", args=[object_id]) if is_id(object_id) else ""
        context = {"title": _("Retire device"), "count": 1, "cancel_url": back}
        return super().delete_view(request, object_id, context | (extra_context or {}))

    def delete_model(self, request: HttpRequest, obj: Device) -> None:
        by = actor_from_request(request, Channel.ADMIN)
        registry.retire(Device.objects.in_scope(by.scope).filter(pk=obj.pk), by)

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: int) -> HttpResponse:
        messages.success(request, _retired(1))
        filters = {"preserved_filters": self.get_preserved_filters(request), "opts": self.opts}
        return redirect(add_preserved_filters(filters, reverse("admin:devices_device_changelist")))

    @admin.action(description=_("Transfer to another hospital"), permissions=["change"])
    def transfer(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse | None:
        form = TransferForm(confirmation.form_data(request), scope=scopes.scope_for_user(request.user))
        if page := confirmation.render_confirmation(self, request, "transfer", queryset, form):
            return page
        by = actor_from_request(request, Channel.ADMIN)
        count = registry.transfer(queryset, form.cleaned_data["device_holder"], by)
        done = ngettext("%(count)d device was transferred.", "%(count)d devices were transferred.", count)
        messages.success(request, done % {"count": count})
        return None

    @admin.action(description=_("Change the type"), permissions=["change"])
    def change_type(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse | None:
        form = TypeForm(confirmation.form_data(request))
        if page := confirmation.render_confirmation(self, request, "change_type", queryset, form):
            return page
        by = actor_from_request(request, Channel.ADMIN)
        count = registry.change_type(queryset, form.cleaned_data["device_type"], by)
        done = ngettext("%(count)d device was changed.", "%(count)d devices were changed.", count)
        messages.success(request, done % {"count": count})
        return None

    @admin.action(description=_("Export"), permissions=["view"])
    def export(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponseBase | None:
        form = ExportForm(confirmation.form_data(request))
        if page := confirmation.render_confirmation(self, request, "export", queryset, form):
            return page
        ending, hospital = form.cleaned_data["ending"], scopes.scope_for_user(request.user).default_hospital
        try:
            file = export.download(queryset, ending)
        except UnreadableFile as error:  # more rows than a worksheet has
            messages.error(request, str(error))
            return None
        hospital_id = hospital.pk if hospital else None
        audit_log.record(Action.EXPORTED, hospital_id=hospital_id, devices=queryset.count(), format=ending)
        return file

    @admin.action(description=_("Retire"), permissions=["delete"])
    def retire(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse | None:
        if page := confirmation.render_confirmation(self, request, "retire", queryset):
            return page
        count = registry.retire(queryset, actor_from_request(request, Channel.ADMIN))
        messages.success(request, _retired(count))
        return None


def _retired(count: int) -> str:
    return ngettext("%(count)d device was retired.", "%(count)d devices were retired.", count) % {"count": count}
