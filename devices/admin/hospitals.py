"""The pages of the hospitals. Operators change and merge them; hospital admins see their own."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.widgets import UnfoldAdminSelect2Widget

from devices.access import actor
from devices.admin import confirmation, step_up
from devices.admin.audit_export import AuditExportMixin
from devices.admin.base import ScopedMixin, is_operator
from devices.admin.hospital_facts import FACTS, HospitalFactsMixin
from devices.admin.times import show_time
from devices.models import Channel, Hospital, count_of_hospital
from devices.registry import device_fields, hospital_fields, hospitals
from devices.registry.hospital_fields import CONTACT_FIELDS
from devices.values import hospital_names

HELP_TEXTS = {
    "phone": _("One or several numbers, such as +62 21 555 0100."),
    "region": _("City, regency or province."),
    "domain": _("The host name of the website, such as rs-harapan.example."),
}


class HospitalForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    class Meta:
        model = Hospital
        fields = ("name", *CONTACT_FIELDS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in HELP_TEXTS.keys() & self.fields.keys():  # hospital admins get the page without a form
            self.fields[name].help_text = HELP_TEXTS[name]

    def clean(self) -> None:
        super().clean()
        for field in self.cleaned_data.keys() & set(CONTACT_FIELDS):
            try:
                self.cleaned_data[field] = hospital_fields.clean_contact(field, self.cleaned_data[field])
            except ValidationError as error:
                self.add_error(field, error)

    def clean_name(self) -> str:
        name = device_fields.clean_hospital_name(self.cleaned_data["name"])
        other = Hospital.objects.by_name([hospital_names.fold_name(name)]).get(hospital_names.fold_name(name))
        if other and other.pk != self.instance.pk:
            raise ValidationError(hospitals.NAME_IN_USE % {"name": other.name})
        return name


class TargetField(forms.ModelChoiceField):  # type: ignore[type-arg]  # not generic at run time
    """A hospital. Its choices show how many devices it has, and who its admins are."""

    def label_from_instance(self, hospital: Any) -> str:
        devices = ngettext("%(count)s device", "%(count)s devices", hospital.number_of_devices)
        count = number_format(hospital.number_of_devices, force_grouping=True)
        return " · ".join([hospital.name, devices % {"count": count}, *names_of_admins(hospital)])


class MergeForm(forms.Form):
    into = TargetField(
        Hospital.objects.none(),
        label=_("Merge into"),
        widget=UnfoldAdminSelect2Widget,
        help_text=_("Admins of this hospital, too, will see the devices that are moved."),
    )

    def __init__(self, *args: Any, chosen: list[Hospital], targets: QuerySet[Hospital], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        others = targets.exclude(pk__in=[hospital.pk for hospital in chosen]).order_by("name")
        self.fields["into"].queryset = others.prefetch_related("admins")  # type: ignore[attr-defined]


@admin.register(Hospital)
class HospitalAdmin(HospitalFactsMixin, AuditExportMixin, ScopedMixin):
    form = HospitalForm
    scope_field = "pk"
    changes_filter = "device_holder__id__exact"
    list_display = ("name", "devices", "hospital_admins", "registered")
    fields = ("name", "earlier_names", *CONTACT_FIELDS, "devices", *FACTS)
    readonly_fields = ("earlier_names", "devices", *FACTS)
    search_help_text = _("Name or former name")
    search_fields = ("name", "former_names__name")
    ordering = ("name",)
    actions = ("merge",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Hospital]:
        rows: QuerySet[Hospital] = super().get_queryset(request)
        admins = Count("admins", distinct=True)
        return rows.annotate(number_of_devices=count_of_hospital(), number_of_admins=admins)

    def get_fields(self, request: HttpRequest, obj: Hospital | None = None) -> Any:
        return self.fields if obj else ("name", *CONTACT_FIELDS)

    @admin.display(description=_("devices"), ordering="number_of_devices")
    def devices(self, hospital: Any) -> str:
        url = reverse("admin:devices_device_changelist", query={"device_holder__id__exact": hospital.pk})
        return format_html('<a href="{}" class="underline">{}</a>', url, hospital.number_of_devices)

    @admin.display(description=_("hospital admins"), ordering="number_of_admins")
    def hospital_admins(self, hospital: Any) -> Any:
        return hospital.number_of_admins

    @admin.display(description=_("registered at"), ordering="created_at")
    def registered(self, hospital: Hospital) -> str:
        return show_time(hospital.created_at)

    @admin.display(description=_("former names"))
    def earlier_names(self, hospital: Hospital) -> str:
        return ", ".join(sorted(row.name for row in hospital.former_names.all())) or "–"

    def has_add_permission(self, request: HttpRequest, obj: Hospital | None = None) -> bool:
        return is_operator(request)

    has_change_permission = has_add_permission

    def has_delete_permission(self, request: HttpRequest, obj: Hospital | None = None) -> bool:
        return False  # it can only be merged: the history of its devices refers to it

    def save_model(self, request: HttpRequest, obj: Hospital, form: HospitalForm, change: bool) -> None:
        by = actor.actor_from_request(request, Channel.ADMIN)
        values = {field: form.cleaned_data[field] for field in ("name", *CONTACT_FIELDS)}
        if not change:
            name = values["name"]
            obj.pk = hospitals.get_or_create([name], by)[hospital_names.fold_name(name)].pk
        hospitals.update(obj, values, by)

    @admin.action(description=_("Merge into another hospital"), permissions=["change"])
    @step_up.required(*step_up.ACTION)  # admins and API keys move, too
    def merge(self, request: HttpRequest, queryset: QuerySet[Hospital]) -> HttpResponse | None:
        number_of_keys = Count("api_keys", distinct=True)
        number_of_aliases = Count("former_names", distinct=True)
        counted = queryset.annotate(number_of_keys=number_of_keys, number_of_aliases=number_of_aliases)
        chosen: list[Any] = list(counted.prefetch_related("admins"))
        form = MergeForm(confirmation.form_data(request), chosen=chosen, targets=self.get_queryset(request))
        context: dict[str, Any] = {
            "hospitals": chosen,
            "admins": sorted({name for hospital in chosen for name in names_of_admins(hospital)}),
        }
        if page := confirmation.render_confirmation(self, request, "merge", queryset, form, **context):
            return page
        into = form.cleaned_data["into"]
        moved = hospitals.merge(chosen, into, actor.actor_from_request(request, Channel.ADMIN))
        text = _("Merged into %(name)s. Moved: devices: %(devices)d, hospital admins: %(admins)d, API keys: %(keys)d.")
        messages.success(request, text % {"name": into, **moved})
        return None


def names_of_admins(hospital: Hospital) -> list[str]:
    return sorted(user.get_full_name() or user.get_username() for user in hospital.admins.all())
