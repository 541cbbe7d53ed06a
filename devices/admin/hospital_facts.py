"""The facts on the page of a hospital: its admins, its devices by type, and a link to its history."""

from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _

from devices.models import DeviceCount
from devices.values.device_types import DeviceType

FACTS = ("admins_by_name", "devices_by_type", "changes_of_devices")


class HospitalFactsMixin:
    @admin.display(description=_("hospital admins"))
    def admins_by_name(self, hospital: Any) -> Any:
        """Return the names as actors.py shows them: an operator who is an admin too is only “operator”."""
        users = hospital.admins.order_by("first_name", "username")
        names = [user.get_full_name() or user.get_username() for user in users if not user.is_superuser]
        operators = [str(_("operator"))] if any(user.is_superuser for user in users) else []
        return ", ".join([*names, *operators]) or "–"

    @admin.display(description=_("devices by type"))
    def devices_by_type(self, hospital: Any) -> Any:
        """Return the number of devices of each type, with a link to their list."""
        counts = DeviceCount.objects.by_holder_and_type([hospital.pk])
        path = "admin:devices_device_changelist"
        rows = [
            (
                reverse(path, query={"device_holder__id__exact": hospital.pk, "device_type__exact": kind.value}),
                kind.label,
                counts.get((hospital.pk, kind.value), 0),
            )
            for kind in DeviceType
        ]
        return format_html_join(", ", '<a href="{}" class="underline">{}: {}</a>', rows)

    @admin.display(description=_("changes"))
    def changes_of_devices(self, hospital: Any) -> Any:
        url = reverse("admin:devices_hospital_history", args=[hospital.pk])
        return format_html('<a href="{}" class="underline">{}</a>', url, _("Changes of the devices of this hospital"))
