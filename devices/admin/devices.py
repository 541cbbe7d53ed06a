"""Devices in the admin: searched, filtered, registered, changed, retired."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from unfold.admin import ModelAdmin

from devices import origin, registry
from devices.drafts import CLEANERS, Draft
from devices.models import Device, DeviceQuerySet, Through
from devices.problems import Refused


class DeviceForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's takes no parameter when it runs
    class Meta:
        model = Device
        fields = ("device_name", "device_mac", "device_type", "device_holder")

    def clean_device_name(self) -> str | None:
        return CLEANERS["device_name"](self.cleaned_data["device_name"])

    def clean_device_mac(self) -> str | None:
        return CLEANERS["device_mac"](self.cleaned_data["device_mac"])

    def draft(self) -> Draft:
        holder = self.cleaned_data["device_holder"]
        return Draft(
            device_name=self.cleaned_data["device_name"],
            device_mac=self.cleaned_data["device_mac"],
            device_type=self.cleaned_data["device_type"],
            device_holder=holder.name if holder else None,
        )


@admin.register(Device)
class DeviceAdmin(ModelAdmin):
    form = DeviceForm
    list_display = ("device_name", "device_mac", "device_type", "device_holder", "updated_at")
    list_filter = ("device_type", "updated_at", "created_at")
    list_select_related = ("device_holder",)
    search_fields = ("device_name",)  # the box is shown; get_search_results is what searches
    autocomplete_fields = ("device_holder",)
    ordering = ("-id",)
    show_full_result_count = False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Device], search_term: str
    ) -> tuple[QuerySet[Device], bool]:
        if not search_term or not isinstance(queryset, DeviceQuerySet):
            return queryset, False
        return queryset.search(search_term), False

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Tell what is in the way also if somebody was faster than this form, between its check and its writing."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)  # type: ignore[no-any-return]
        except Refused as refused:
            for problem in refused.problems:
                messages.error(request, str(problem.message))
            return redirect(request.get_full_path())

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Lead to the device's changes, of which Django's own log knows only those made here."""
        return redirect(f"{reverse('admin:devices_historicaldevice_changelist')}?id={object_id}")

    def save_model(self, request: HttpRequest, obj: Device, form: DeviceForm, change: bool) -> None:
        by = origin.of_request(request, Through.ADMIN)
        if change:
            registry.update(Device.objects.filter(pk=obj.pk), form.draft(), by)
        else:
            obj.pk = registry.register([form.draft()], by)[0].pk

    def delete_model(self, request: HttpRequest, obj: Device) -> None:
        self.delete_queryset(request, Device.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        registry.retire(queryset, origin.of_request(request, Through.ADMIN))
