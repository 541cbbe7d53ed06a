"""The pages of the devices, and the actions on many devices."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from devices import registry
from devices.access import scopes
from devices.access.actor import actor_from_request
from devices.admin import actors, confirmation
from devices.admin.audit_export import AuditExportMixin
from devices.admin.base import ScopedMixin, is_id
from devices.admin.device_forms import DeviceForm, ExportForm, TransferForm, TypeForm
from devices.admin.filters import DateRangeFilter, HospitalFilter
from devices.admin.imports import ImportsMixin
from devices.admin.retired import RetiredMixin, TabbedChangeList, retired_message
from devices.admin.times import show_time
from devices.audit import audit_log
from devices.audit.audit_log import Action
from devices.imports import export
from devices.imports.files import spreadsheet
from devices.imports.files.header import UnreadableFile
from devices.models import Channel, Device, DeviceCount, DeviceQuerySet, Hospital
from devices.values import mac
from devices.values.device_types import DeviceType
from devices.values.normalization import normalize

LOOKALIKES = str.maketrans("OILS", "0115")  # letters that are read as digits of a MAC address
LAST_CHANGES = 5  # on the page of a device

admin.site.disable_action("delete_selected")  # it loads every device; `retire` replaces it


class DeviceChangeList(TabbedChangeList):
    """The list, and what the page suggests if a search finds nothing."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        scope = scopes.scope_for_user(request.user)
        self.sees_all_hospitals, self.sees_one_hospital = scope.hospitals is None, bool(scope.default_hospital)
        super().__init__(request, *args, **kwargs)

    @property
    def missing_mac(self) -> str | None:
        """The MAC address for which the user has searched, if it is complete. The page shows it as it was typed."""
        return mac.parse_mac(self.query)

    @property
    def similar_mac(self) -> str | None:
        """The MAC address for which the user has searched with letters that look like digits."""
        return None if self.missing_mac else mac.parse_mac(self.query.upper().translate(LOOKALIKES))


@admin.register(Device)
class DeviceAdmin(RetiredMixin, ImportsMixin, AuditExportMixin, ScopedMixin):
    form = DeviceForm
    list_display = ("device_name", "device_mac", "manufacturer", "device_type", "device_holder", "changed")
    list_filter = (
        ("device_holder", HospitalFilter),
        "device_type",
        ("updated_at", DateRangeFilter),
        ("created_at", DateRangeFilter),
    )
    list_filter_submit = True
    list_select_related = ("device_holder",)
    search_fields = ("device_name",)  # shows the search box; get_search_results does the search
    search_help_text = _("Name, MAC address, hospital")
    autocomplete_fields = ("device_holder",)
    lookups = (
        *("device_holder__id__exact", "device_holder__isnull", "device_type__exact"),
        *("updated_at_from", "updated_at_to", "created_at_from", "created_at_to"),
    )
    ordering = ("-id",)
    sortable_by = ("device_name", "device_mac", "changed")  # the columns with an index
    actions = ("transfer", "change_type", "export", "retire")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export_found)
        return [path("export<str:file_format>", view, name="devices_device_export_found"), *super().get_urls()]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return DeviceChangeList

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return the actions. An admin of one hospital has no other hospital to which devices can go."""
        actions: dict[str, Any] = super().get_actions(request)
        if scopes.scope_for_user(request.user).default_hospital:
            actions.pop("transfer", None)
        return actions

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        context = {
            "can_import": self.has_import_permission(request),
            "export_formats": [(".xlsx", _("Excel (XLSX)")), (".csv", "CSV")],
        }
        return super().changelist_view(request, context | (extra_context or {}))

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

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Return the field without the menu that leads to another page: what was typed would be lost."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        for name in ("can_add_related", "can_change_related", "can_view_related"):
            if hasattr(field.widget, name):
                setattr(field.widget, name, False)
        return field

    def get_form(self, request: HttpRequest, obj: Device | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)  # a new class for each request
        form.actor = actor_from_request(request, Channel.ADMIN)
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return the valid values of the query string: a MAC address, or what the device before had."""
        values = {}
        if address := mac.parse_mac(request.GET.get("device_mac", "")):
            values["device_mac"] = address
        if (kind := request.GET.get("device_type", "")) in DeviceType:
            values["device_type"] = kind
        hospital = request.GET.get("device_holder", "")
        if is_id(hospital) and scopes.scope_for_user(request.user).allows(int(hospital)):
            values["device_holder"] = hospital
        return values

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        context = {"title": _("Register a device"), **(extra_context or {})}
        return super().add_view(request, form_url, context)  # type: ignore[no-any-return]

    def response_add(self, request: HttpRequest, obj: Device, post_url_continue: str | None = None) -> HttpResponse:
        """After “Save and add another”, show the form with the same type and hospital."""
        if "_addanother" not in request.POST:
            return super().response_add(request, obj, post_url_continue)  # type: ignore[no-any-return]
        before = request.GET.get("registered", "")
        number = int(before) + 1 if is_id(before) else 1
        done = ngettext(
            "“%(name)s” was registered. You can register the next device here.",
            "“%(name)s” was registered. These are %(count)d devices in a row.",
            number,
        )
        messages.success(request, done % {"name": obj.device_name, "count": number})
        query = request.GET.copy()
        query.pop("device_mac", None)
        query["device_type"], query["device_holder"] = obj.device_type, str(obj.device_holder_id or "")
        query["registered"] = str(number)
        return redirect(f"{request.path}?{query.urlencode()}")

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """Add the facts of the device, and put the cursor in the first wrong field."""
        if device := kwargs.get("obj"):
            context |= self._facts(request, device)
        form = context["adminform"].form
        for name in form.fields:
            if name in form.errors:
                # `autofocus` has no effect while the library hides the page, so its Alpine sets the focus afterwards.
                form.fields[name].widget.attrs |= {"autofocus": True, "x-init": "$nextTick(() => $el.focus())"}
                break
        return super().render_change_form(request, context, *args, **kwargs)  # type: ignore[no-any-return]

    def _facts(self, request: HttpRequest, device: Device) -> dict[str, Any]:
        """Return what the page shows of the device's history. The viewer sees only changes in scope (actors.py)."""
        page: Any = self.admin_site.get_model_admin(Device.history.model)
        changes = page.get_queryset(request).filter(id=device.pk)
        last = list(changes.order_by("-history_id")[:LAST_CHANGES])
        first = changes.filter(history_type="+").order_by("history_id").first()
        return {
            "manufacturer": self.manufacturer(device),
            "registered_by": actors.user(first) if first else None,
            "changed_by": actors.user(last[0]) if last else None,
            "last_changes": [{**page.row_context(change), "at": show_time(change.history_date)} for change in last],
        }

    def save_model(self, request: HttpRequest, obj: Device, form: DeviceForm, change: bool) -> None:
        by = actor_from_request(request, Channel.ADMIN)
        if change:
            registry.update(Device.objects.in_scope(by.scope).filter(pk=obj.pk), form.item(), by, form.is_unchanged)
        else:
            obj.pk = registry.register([form.item()], by).ids[0]

    @admin.display(description=_("manufacturer"))
    def manufacturer(self, device: Device) -> str | None:
        name = mac.manufacturer(device.device_mac)
        return name and format_html('<span title="{}">{}</span>', name, name)  # the column cuts a long name

    @admin.display(description=_("changed at"), ordering="updated_at")
    def changed(self, device: Device) -> str:
        return show_time(device.updated_at)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        back = reverse("admin:devices_device_change", args=[object_id]) if is_id(object_id) else ""
        context = {"title": _("Retire device"), "heading": _retire_heading(1), "count": 1, "cancel_url": back}
        context |= {"button_variant": "danger", **(extra_context or {})}
        return super().delete_view(request, object_id, context)

    def delete_model(self, request: HttpRequest, obj: Device) -> None:
        by = actor_from_request(request, Channel.ADMIN)
        registry.retire(Device.objects.in_scope(by.scope).filter(pk=obj.pk), by)

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: int) -> HttpResponse:
        messages.success(request, retired_message(request, 1))
        filters = {"preserved_filters": self.get_preserved_filters(request), "opts": self.opts}
        return redirect(add_preserved_filters(filters, reverse("admin:devices_device_changelist")))

    @admin.action(description=_("Transfer to another hospital"), permissions=["change"])
    def transfer(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse | None:
        form = TransferForm(confirmation.form_data(request), scope=scopes.scope_for_user(request.user))
        if page := confirmation.render_confirmation(self, request, "transfer", queryset, form, _transfer_heading):
            return page
        by = actor_from_request(request, Channel.ADMIN)
        count = registry.transfer(queryset, form.cleaned_data["device_holder"], by)
        done = ngettext("%(count)d device was transferred.", "%(count)d devices were transferred.", count)
        done %= {"count": count}
        if same := confirmation.confirmed_number(request) - count:
            already = ngettext("%(count)d was already there.", "%(count)d were already there.", same)
            done += " " + already % {"count": same}
        messages.success(request, done)
        return None

    @admin.action(description=_("Change the type"), permissions=["change"])
    def change_type(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse | None:
        form = TypeForm(confirmation.form_data(request))
        if page := confirmation.render_confirmation(self, request, "change_type", queryset, form, _type_heading):
            return page
        by, kind = actor_from_request(request, Channel.ADMIN), DeviceType(form.cleaned_data["device_type"])
        count = registry.change_type(queryset, kind, by)
        done = ngettext("%(count)d device was changed.", "%(count)d devices were changed.", count) % {"count": count}
        if same := confirmation.confirmed_number(request) - count:
            already = ngettext("%(count)d was already “%(type)s”.", "%(count)d were already “%(type)s”.", same)
            done += " " + already % {"count": same, "type": kind.label}
        messages.success(request, done)
        return None

    @admin.action(description=_("Export"), permissions=["view"])
    def export(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponseBase | None:
        form = ExportForm(confirmation.form_data(request))
        if page := confirmation.render_confirmation(self, request, "export", queryset, form, _export_heading):
            return page
        return self._download(request, queryset, form.cleaned_data["ending"])

    def export_found(self, request: HttpRequest, file_format: str) -> HttpResponseBase:
        """Download the devices that the search and the filters of the query string find, as `.xlsx` or `.csv`."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "POST":  # it writes to the audit log
            return HttpResponseNotAllowed(["POST"])
        if file_format not in spreadsheet.ENDINGS:
            raise Http404
        try:
            found = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters as error:
            raise BadRequest from error
        back = reverse("admin:devices_device_changelist")
        return self._download(request, found, file_format) or redirect(f"{back}?{request.GET.urlencode()}")

    def _download(self, request: HttpRequest, devices: DeviceQuerySet, ending: str) -> HttpResponseBase | None:
        """Return the file, and record the export. None, with a message, if there are too many devices."""
        hospital = scopes.scope_for_user(request.user).default_hospital
        try:
            file = export.download(devices, ending)
        except UnreadableFile as error:  # more rows than a worksheet has
            messages.error(request, str(error))
            return None
        hospital_id = hospital.pk if hospital else None
        audit_log.record(Action.EXPORTED, hospital_id=hospital_id, devices=devices.count(), format=ending)
        return file

    @admin.action(description=_("Retire"), permissions=["delete"])
    def retire(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse | None:
        if page := confirmation.render_confirmation(self, request, "retire", queryset, heading=_retire_heading):
            return page
        count = registry.retire(queryset, actor_from_request(request, Channel.ADMIN))
        messages.success(request, retired_message(request, count))
        return None


def _transfer_heading(count: int) -> str:
    return ngettext("Transfer %(count)d device", "Transfer %(count)d devices", count) % {"count": count}


def _type_heading(count: int) -> str:
    heading = ngettext("Change the type of %(count)d device", "Change the type of %(count)d devices", count)
    return heading % {"count": count}


def _export_heading(count: int) -> str:
    return ngettext("Export %(count)d device", "Export %(count)d devices", count) % {"count": count}


def _retire_heading(count: int) -> str:
    return ngettext("Retire %(count)d device", "Retire %(count)d devices", count) % {"count": count}
