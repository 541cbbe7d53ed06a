"""The side bar of the admin."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from devices.admin.access import is_operator


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    devices = [
        _item(_("Overview"), "dashboard", "index"),
        _item(_("Devices"), "ecg_heart", "devices_device_changelist"),
        _item(_("Changes"), "history", "devices_historicaldevice_changelist"),
        _item(_("Hospitals"), "local_hospital", "devices_hospital_changelist"),
    ]
    if not is_operator(request):
        return [{"items": devices}]
    access = [
        _item(_("People"), "group", "devices_person_changelist"),
        _item(_("API keys"), "key", "devices_apikey_changelist"),
        _item(_("Audit"), "policy", "devices_auditevent_changelist"),
    ]
    return [{"items": devices}, {"title": _("Access"), "separator": True, "items": access}]


def _item(title: str, icon: str, view: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(f"admin:{view}")}
