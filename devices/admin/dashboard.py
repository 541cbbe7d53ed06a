"""The overview, and the sidebar.

The overview shows the numbers of devices by hospital, type and week of registration, API keys to check, and the latest
changes. Each number links to the list that it counts. It includes only hospitals in the user's scope.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.contrib import admin
from django.core.cache import cache
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from devices.access import scopes
from devices.admin import actors
from devices.admin.base import is_operator
from devices.admin.filters import midnight
from devices.models import ApiKey, Device, DeviceCount, Hospital
from devices.values.device_types import DeviceType
from devices.values.scope import Scope

WEEKS = 12
CACHE_SECONDS = 300  # counting a week in the index takes long after a large import
HOSPITALS = 10
CHANGES = 8


@dataclass(frozen=True, slots=True)
class Metric:
    label: Any
    number: int
    url: str  # of the list that the number counts


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the numbers and changes that `templates/admin/index.html` shows to the context of the admin's index."""
    scope = scopes.scope_for_user(request.user)
    by_hospital, by_type = Counter[int | None](), Counter[str]()
    for (hospital, device_type), number in DeviceCount.objects.by_holder_and_type(scope.hospital_ids).items():
        by_hospital[hospital] += number
        by_type[device_type] += number
    types = [Metric(kind.label, by_type[kind], _list("device", device_type__exact=kind.value)) for kind in DeviceType]
    return {
        **context,
        "title": _("Overview"),
        "figures": list(_totals(request, by_hospital)),
        "hospitals": list(_largest_hospitals(by_hospital)),
        "types": types,
        "weeks": list(_registrations(scope)),
        "changes": _latest_changes(request),
    }


def _totals(request: HttpRequest, by_hospital: Counter[int | None]) -> Iterator[Metric]:
    yield Metric(_("devices"), by_hospital.total(), _list("device"))
    if not is_operator(request):
        return
    yield Metric(_("devices without a hospital"), by_hospital[None], _list("device", device_holder__isnull=True))
    yield Metric(_("hospitals"), Hospital.objects.count(), _list("hospital"))
    keys = ApiKey.objects
    yield Metric(_("keys that expire within 30 days"), keys.expiring().count(), _list("apikey", state="expiring"))
    yield Metric(_("keys that were never used"), keys.never_used().count(), _list("apikey", state="never_used"))
    yield Metric(_("keys not used for 90 days"), keys.idle().count(), _list("apikey", state="idle"))


def _largest_hospitals(by_hospital: Counter[int | None]) -> Iterator[Metric]:
    largest = [(hospital, size) for hospital, size in by_hospital.most_common(HOSPITALS + 1) if hospital][:HOSPITALS]
    names = Hospital.objects.in_bulk([hospital for hospital, _size in largest])
    for hospital, size in largest:
        if hospital in names:
            yield Metric(names[hospital], size, _list("device", device_holder__id__exact=hospital))


def _registrations(scope: Scope) -> Iterator[Metric]:
    """Return the registrations of each of the last weeks, including this one. Weeks begin on Monday in local time."""
    today = timezone.localdate()
    this_week = today - timedelta(days=today.weekday())
    mondays = [this_week - timedelta(weeks=weeks) for weeks in reversed(range(WEEKS))]
    hospitals = "all" if scope.hospital_ids is None else ",".join(map(str, sorted(scope.hospital_ids)))
    key = f"registrations:{this_week}:{hospitals}"
    numbers: Any = cache.get_or_set(key, lambda: [_registered(scope, monday) for monday in mondays], CACHE_SECONDS)
    for monday, number in zip(mondays, numbers, strict=True):
        days = {"created_at_from": monday, "created_at_to": monday + timedelta(days=6)}
        yield Metric(date_format(monday, "j M"), number, _list("device", **days))


def _registered(scope: Scope, monday: date) -> int:
    week = midnight(monday), midnight(monday + timedelta(weeks=1))
    return Device.objects.in_scope(scope).filter(created_at__gte=week[0], created_at__lt=week[1]).count()


def _latest_changes(request: HttpRequest) -> list[dict[str, Any]]:
    page: Any = admin.site.get_model_admin(Device.history.model)
    changes = page.get_queryset(request).order_by("-history_id")[:CHANGES]
    return [
        {
            **{column: getattr(page, column)(change) for column in ("at", "device", "action", "changes")},
            "user": actors.user(change) if change.history_user_id or change.history_api_key_id else "",
            "channel": change.get_history_channel_display(),
            "url": _list("historicaldevice", id=change.id),
        }
        for change in changes
    ]


def _list(page: str, **query: Any) -> str:
    return reverse(f"admin:devices_{page}_changelist", query=query or None)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    devices = [
        _item(_("Overview"), "dashboard", "index"),
        _item(_("Devices"), "ecg_heart", "devices_device_changelist"),
        _item(_("Changes"), "history", "devices_historicaldevice_changelist"),
        _item(_("Hospitals"), "local_hospital", "devices_hospital_changelist"),
    ]
    guide = {"separator": True, "items": [{"title": _("Help"), "icon": "help", "link": reverse("help")}]}
    if not is_operator(request):
        return [{"items": devices}, guide]
    access = [
        _item(_("Users"), "group", "devices_staffuser_changelist"),
        _item(_("API keys"), "key", "devices_apikey_changelist"),
        _item(_("Audit log"), "policy", "devices_auditevent_changelist"),
    ]
    return [{"items": devices}, {"title": _("Access"), "separator": True, "items": access}, guide]


def _item(title: str, icon: str, view: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(f"admin:{view}")}
