"""The overview, and the sidebar.

The overview shows the numbers of devices by hospital, type and week of registration, what needs a look, and the latest
changes. Each number links to the list that it counts. It includes only hospitals in the user's scope.

All numbers are of the moment of the request. Those that take long to count are kept until the next change.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.contrib import admin
from django.core.cache import cache
from django.db.models import Max
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from devices.access import scopes
from devices.admin.base import is_operator
from devices.admin.filters import midnight
from devices.history import recording
from devices.models import ApiKey, Device, DeviceCount, Hospital, StaffUser
from devices.values.device_types import DeviceType
from devices.values.scope import Scope

WEEKS = 12
CACHE_SECONDS = 300
HOSPITALS = 10
CHANGES = 8


@dataclass(frozen=True, slots=True)
class Metric:
    label: Any
    number: int
    url: str  # of the list that the number counts
    whole: int = 0  # the number of which this is a part

    @property
    def percent(self) -> int:
        return round(100 * self.number / self.whole) if self.whole else 0


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the first day of an operator."""

    label: Any
    url: str
    is_done: bool


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the numbers and changes that `templates/admin/index.html` shows to the context of the admin's index."""
    scope = scopes.scope_for_user(request.user)
    counts = DeviceCount.objects.by_holder_and_type(scope.hospital_ids)
    by_hospital, by_type = Counter[int | None](), Counter[str]()
    for (hospital, device_type), number in counts.items():
        by_hospital[hospital] += number
        by_type[device_type] += number
    total = by_hospital.total()
    weeks, retired = _since(scope, request, counts)
    return {
        **context,
        "title": _("Overview"),
        "hospital_names": None if scope.hospitals is None else [hospital.name for hospital in scope.hospitals],
        "total": total,
        "steps": _first_steps(total) if is_operator(request) else [],
        "can_register": request.user.has_perm("devices.add_device") and scope.hospital_ids != [],
        "figures": list(_figures(request, total, weeks[-1], retired)),
        "attention": [metric for metric in _attention(request, by_hospital) if metric.number],
        "hospitals": list(_largest_hospitals(by_hospital, scope)),
        "types": [
            Metric(kind.label, by_type[kind], _list("device", device_type__exact=kind.value), total)
            for kind in DeviceType
        ],
        "weeks": weeks,
        "changes": _latest_changes(request),
    }


def _figures(request: HttpRequest, total: int, this_week: Metric, retired: Metric) -> Iterator[Metric]:
    yield Metric(_("Devices"), total, _list("device"))
    if is_operator(request):
        yield Metric(_("Hospitals"), Hospital.objects.count(), _list("hospital"))
    yield Metric(_("Registered this week"), this_week.number, this_week.url)
    yield retired


def _attention(request: HttpRequest, by_hospital: Counter[int | None]) -> Iterator[Metric]:
    """Yield what an operator must look at. Hospital admins can change none of it."""
    if not is_operator(request):
        return
    yield Metric(_("Devices without a hospital"), by_hospital[None], _list("device", device_holder__isnull=True))
    keys = ApiKey.objects
    yield Metric(_("Keys that expire within 30 days"), keys.expiring().count(), _list("apikey", state="expiring"))
    yield Metric(_("Keys that were never used"), keys.never_used().count(), _list("apikey", state="never_used"))
    yield Metric(_("Keys not used for 90 days"), keys.idle().count(), _list("apikey", state="idle"))


def _first_steps(devices: int) -> list[Step]:
    """Return what an operator of a new registry does, one after the other. Return nothing as soon as all is done."""
    has_admins = StaffUser.objects.filter(is_superuser=False).exists()
    steps = [
        Step(_("Add a hospital"), reverse("admin:devices_hospital_add"), Hospital.objects.exists()),
        Step(_("Invite its admin"), reverse("admin:devices_staffuser_add"), has_admins),
        Step(_("Import its devices"), reverse("admin:devices_device_import_file"), devices > 0),
        Step(_("Create an API key"), reverse("admin:devices_apikey_add"), ApiKey.objects.exists()),
    ]
    return [] if all(step.is_done for step in steps) else steps


def _largest_hospitals(by_hospital: Counter[int | None], scope: Scope) -> Iterator[Metric]:
    """Yield the hospitals with the most devices, then some without devices."""
    largest = [hospital for hospital, _size in by_hospital.most_common(HOSPITALS + 1) if hospital][:HOSPITALS]
    hospitals = Hospital.objects.in_scope(scope)
    names = hospitals.in_bulk(largest)
    others = hospitals.exclude(pk__in=largest).order_by("name", "pk")[: HOSPITALS - len(largest)]
    for hospital in [*(names[pk] for pk in largest if pk in names), *others]:
        url = _list("device", device_holder__id__exact=hospital.pk)
        yield Metric(hospital, by_hospital[hospital.pk], url, by_hospital.total())


def _since(scope: Scope, request: HttpRequest, counts: Any) -> tuple[list[Metric], Metric]:
    """Return the registrations of each of the last weeks, including this one, and the retirements of this week.

    Weeks begin on Monday in local time. Counting takes long after a large import. So the numbers are kept until a
    device changes: the key has the id of the last change, and the counts that the page shows.
    """
    today = timezone.localdate()
    this_week = today - timedelta(days=today.weekday())
    mondays = [this_week - timedelta(weeks=weeks) for weeks in reversed(range(WEEKS))]
    hospitals = "all" if scope.hospital_ids is None else ",".join(map(str, sorted(scope.hospital_ids)))
    last = Device.history.aggregate(last=Max("history_id"))["last"]
    key = f"weeks:{this_week}:{hospitals}:{last}:{hash(frozenset(counts.items()))}"
    numbers: Any = cache.get_or_set(
        key,
        lambda: [*(_registered(scope, monday) for monday in mondays), _retired(request, this_week)],
        CACHE_SECONDS,
    )
    weeks = [
        Metric(
            date_format(monday, "j M"),
            number,
            _list("device", created_at_from=monday, created_at_to=monday + timedelta(days=6)),
        )
        for monday, number in zip(mondays, numbers[:-1], strict=True)
    ]
    url = _list("historicaldevice", action="retired", history_date_from=this_week)
    return weeks, Metric(_("Retired this week"), numbers[-1], url)


def _registered(scope: Scope, monday: date) -> int:
    week = midnight(monday), midnight(monday + timedelta(weeks=1))
    return Device.objects.in_scope(scope).filter(created_at__gte=week[0], created_at__lt=week[1]).count()


def _retired(request: HttpRequest, monday: date) -> int:
    page: Any = admin.site.get_model_admin(Device.history.model)
    retired = page.get_queryset(request).filter(history_type=recording.DELETED, history_date__gte=midnight(monday))
    return int(retired.count())


def _latest_changes(request: HttpRequest) -> list[dict[str, Any]]:
    page: Any = admin.site.get_model_admin(Device.history.model)
    changes = page.get_queryset(request).order_by("-history_id")[:CHANGES]
    return [page.row_context(change) for change in changes]


def _list(page: str, **query: Any) -> str:
    return reverse(f"admin:devices_{page}_changelist", query=query or None)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    devices = [
        _item(_("Overview"), "dashboard", "index"),
        _item(_("Devices"), "stethoscope", "devices_device_changelist"),
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
