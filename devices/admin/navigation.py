"""What stands in the admin's side bar, for whoever looks."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from devices.admin.access import is_operator


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    devices = [
        _item(_("Overview"), "dashboard", "admin:index"),
        _item(_("Devices"), "ecg_heart", "admin:devices_device_changelist"),
        _item(_("Changes"), "history", "admin:devices_historicaldevice_changelist"),
        _item(_("Hospitals"), "local_hospital", "admin:devices_hospital_changelist"),
    ]
    groups = [{"items": devices}]
    if is_operator(request):
        access = [
            _item(_("People"), "group", "admin:devices_person_changelist"),
            _item(_("API keys"), "key", "admin:devices_apikey_changelist"),
            _item(_("Audit"), "policy", "admin:devices_auditevent_changelist"),
        ]
        groups.append({"title": _("Access"), "separator": True, "items": access})  # type: ignore[dict-item]
    return groups


def _item(title: str, icon: str, view: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(view)}
