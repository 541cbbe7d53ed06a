"""The pages of the devices."""

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from devices import mac, origin, reach, registry
from devices.admin.access import RegistryModelAdmin, ScopedMixin, is_id
from devices.admin.device_actions import DeviceActionsMixin
from devices.admin.filters import DateRangeFilter, HospitalFilter
from devices.admin.imports import ImportsMixin
from devices.admin.trails import WithTrail
from devices.drafts import CLEANERS, Draft, normalize
from devices.models import Device, DeviceCount, DeviceQuerySet, Hospital, Through
from devices.origin import Origin
from devices.problems import UNIQUE, Problem
from devices.reach import Reach
from devices.validation import find_problems


class DeviceForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's takes no parameter when it runs
    origin = Origin(Through.ADMIN, reach=Reach())  # the user's; DeviceAdmin sets it
    seen = forms.CharField(required=False, widget=forms.HiddenInput)  # the version of the device that the form showed

    class Meta:
        model = Device
        fields = ("device_name", "device_mac", "device_type", "device_holder")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["seen"].initial = self.instance.updated_at.isoformat()

    def clean_device_name(self) -> str | None:
        return CLEANERS["device_name"](self.cleaned_data["device_name"])

    def clean_device_mac(self) -> str | None:
        return CLEANERS["device_mac"](self.cleaned_data["device_mac"])

    def validate_unique(self) -> None:
        """Say which device has the name or the MAC, and link to it if the user may see it."""
        read = {field: value for field, value in self.cleaned_data.items() if field in CLEANERS}
        if holder := read.get("device_holder"):
            read["device_holder"] = holder.name
        known = {0: self.instance.pk} if self.instance.pk else {}
        for problem in find_problems([cast("Draft", read)], self.origin, known=known):
            if problem.field and problem.field not in self.errors:
                self.add_error(problem.field, self._describe(problem))

    def _describe(self, problem: Problem) -> Any:
        if problem.code != UNIQUE:
            return problem.message
        same = {str(problem.field): self.cleaned_data[str(problem.field)]}
        other = Device.objects.within(self.origin.reach).filter(**same).exclude(pk=self.instance.pk).first()
        if other is None:
            return problem.message
        url = reverse("admin:devices_device_change", args=[other.pk])
        return format_html('{} <a href="{}" class="underline">{}</a>', problem.message, url, other)

    def is_as_seen(self, device: Device) -> bool:
        return self.cleaned_data["seen"] in ("", device.updated_at.isoformat())

    def draft(self) -> Draft:
        holder = self.cleaned_data["device_holder"]
        values = {field: self.cleaned_data[field] for field in CLEANERS}
        return cast("Draft", values | {"device_holder": holder.name if holder else None})


@admin.register(Device)
class DeviceAdmin(DeviceActionsMixin, ImportsMixin, WithTrail, ScopedMixin, RegistryModelAdmin):
    form = DeviceForm
    list_display = ("device_name", "device_mac", "maker", "device_type", "device_holder", "updated_at")
    list_filter = (
        ("device_holder", HospitalFilter),
        "device_type",
        ("updated_at", DateRangeFilter),
        ("created_at", DateRangeFilter),
    )
    list_filter_submit = True
    list_select_related = ("device_holder",)
    search_fields = ("device_name",)  # the box is shown; get_search_results is what searches
    autocomplete_fields = ("device_holder",)
    lookups = (
        *("device_holder__id__exact", "device_holder__isnull", "device_type__exact"),
        *("updated_at_from", "updated_at_to", "created_at_from", "created_at_to"),
    )
    ordering = ("-id",)
    sortable_by = ("device_name", "device_mac", "updated_at")  # what has an index

    def get_paginator(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Take the number of devices from the counts, if the list is filtered by hospital and type at most."""
        paginator = super().get_paginator(request, *args, **kwargs)
        filters = {name: str(value) for name, value in request.GET.items() if value and name not in ("p", "o")}
        hospital, device_type = filters.pop("device_holder__id__exact", None), filters.pop("device_type__exact", None)
        if not filters and (hospital is None or is_id(hospital)):
            known = {"device_holder": hospital and int(hospital), "device_type": device_type}
            known = {name: value for name, value in known.items() if value is not None}
            paginator.known = DeviceCount.objects.total(reach.of_user(request.user), **known)
        return paginator

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Device], search_term: str
    ) -> tuple[QuerySet[Device], bool]:
        text = normalize(search_term)
        if not text or not isinstance(queryset, DeviceQuerySet):
            return queryset, False
        return queryset.search(text, reach.of_user(request.user)), False

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        scope = reach.of_user(request.user)
        options = {"queryset": Hospital.objects.within(scope), "initial": scope.own}
        kwargs |= options | {"required": scope.hospitals is not None}
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_form(self, request: HttpRequest, obj: Device | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)  # a class made for this request
        form.origin = origin.of_request(request, Through.ADMIN)
        return form

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Redirect to the changes of the device. Django's log has only those that were made in the admin."""
        if self.get_object(request, object_id) is None:
            raise Http404
        return redirect(reverse("admin:devices_historicaldevice_changelist", query={"id": object_id}))

    def save_model(self, request: HttpRequest, obj: Device, form: DeviceForm, change: bool) -> None:
        by = origin.of_request(request, Through.ADMIN)
        if change:
            registry.update(Device.objects.within(by.reach).filter(pk=obj.pk), form.draft(), by, form.is_as_seen)
        else:
            obj.pk = registry.register([form.draft()], by).ids[0]

    @admin.display(description=_("maker"))
    def maker(self, device: Device) -> str | None:
        return mac.maker(device.device_mac)

    def delete_model(self, request: HttpRequest, obj: Device) -> None:
        by = origin.of_request(request, Through.ADMIN)
        registry.retire(Device.objects.within(by.reach).filter(pk=obj.pk), by)
