"""The first page: how many devices there are, where, since when; what needs a look; what happened last.

Each number leads to the list that it counts, and is of the hospitals within reach.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.contrib import admin
from django.core.cache import cache
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _

from devices import counts, reach
from devices.admin.access import is_operator
from devices.admin.api_keys import STATES
from devices.drafts import DeviceType
from devices.models import ApiKey, Device, DeviceQuerySet, Hospital
from devices.reach import Reach

WEEKS = 12
CACHED_FOR = 300  # seconds: the weeks are counted off an index, which a large import makes long
HOSPITALS = 10
CHANGES = 8


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with what it counts and the list of that. `share` is its part of the largest beside it, in percent."""

    label: Any
    number: int
    url: str
    share: float = 0

    @property
    def rest(self) -> float:
        return round(100 - self.share, 1)

    @property
    def text(self) -> str:
        return number_format(self.number, use_l10n=True, force_grouping=True)


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the context of the admin's index what `templates/admin/index.html` shows."""
    within = reach.of_user(request.user)
    by_both = counts.by_holder_and_type(within.ids)
    return {
        **context,
        "title": _("Overview"),
        "figures": [*_devices(by_both, within), *(_keys() if is_operator(request) else [])],
        "hospitals": _by_hospital(by_both),
        "types": _by_type(by_both),
        "weeks": _by_week(within),
        "changes": _latest_changes(request),
        "all_changes": _list("historicaldevice"),
        "words": {
            "hospitals": _("Devices by hospital"),
            "types": _("Devices by type"),
            "weeks": _("Registered per week"),
            "changes": _("Latest changes"),
            "all_changes": _("All changes"),
            "nothing": _("Nothing yet."),
        },
    }


def _devices(by_both: dict[tuple[int | None, str], int], within: Reach) -> list[Figure]:
    figures = [Figure(_("devices"), sum(by_both.values()), _list("device"))]
    if within.hospitals is None:
        without = sum(number for (holder, _type), number in by_both.items() if holder is None)
        figures.append(Figure(_("devices without a hospital"), without, _list("device", device_holder__isnull=True)))
        figures.append(Figure(_("hospitals"), Hospital.objects.count(), _list("hospital")))
    return figures


def _keys() -> list[Figure]:
    labels = {
        "expiring": _("keys that expire within 30 days"),
        "never_used": _("keys that were never used"),
        "idle": _("keys not used for 90 days"),
    }
    return [
        Figure(label, STATES[state][1](ApiKey.objects.all()).count(), _list("apikey", state=state))
        for state, label in labels.items()
    ]


def _by_hospital(by_both: dict[tuple[int | None, str], int]) -> list[Figure]:
    sums: dict[int, int] = {}
    for (holder, _type), number in by_both.items():
        if holder is not None:
            sums[holder] = sums.get(holder, 0) + number
    largest = sorted(sums, key=lambda holder: (-sums[holder], holder))[:HOSPITALS]
    names = Hospital.objects.in_bulk(largest)
    return _with_shares(
        Figure(names[holder], sums[holder], _list("device", device_holder__id__exact=holder))
        for holder in largest
        if holder in names
    )


def _by_type(by_both: dict[tuple[int | None, str], int]) -> list[Figure]:
    return _with_shares(
        Figure(
            kind.label,
            sum(number for (_holder, device_type), number in by_both.items() if device_type == kind),
            _list("device", device_type__exact=kind.value),
        )
        for kind in DeviceType
    )


def _by_week(within: Reach) -> list[Figure]:
    """Return the registrations of the last weeks, this one included, each from Monday as the admin's zone has it."""
    today = timezone.localdate()
    this_week = today - timedelta(days=today.weekday())
    mondays = [this_week - timedelta(weeks=weeks) for weeks in reversed(range(WEEKS))]
    key = f"registrations:{this_week}:{'all' if within.ids is None else sorted(within.ids)}".replace(" ", "")
    devices = Device.objects.within(within)
    numbers: Any = cache.get_or_set(key, lambda: [_registered(devices, monday) for monday in mondays], CACHED_FOR)
    return _with_shares(
        Figure(
            date_format(monday, "j M"),
            number,
            _list("device", created_at_from=monday, created_at_to=monday + timedelta(days=6)),
        )
        for monday, number in zip(mondays, numbers, strict=True)
    )


def _registered(devices: DeviceQuerySet, monday: date) -> int:
    begin = timezone.make_aware(datetime.combine(monday, time.min))
    end = timezone.make_aware(datetime.combine(monday + timedelta(weeks=1), time.min))
    return devices.filter(created_at__gte=begin, created_at__lt=end).count()


def _latest_changes(request: HttpRequest) -> list[dict[str, Any]]:
    page: Any = admin.site.get_model_admin(Device.history.model)
    changes = page.get_queryset(request).order_by("-history_id")
    return [
        {
            "at": change.history_date,
            "device": page.device(change),
            "action": page.action(change),
            "changes": page.changes(change),
            "who": change.get_history_through_display() if page.who(change) == "–" else page.who(change),
            "url": _list("historicaldevice", id=change.id),
        }
        for change in changes[:CHANGES]
    ]


def _with_shares(figures: Iterable[Figure]) -> list[Figure]:
    told = list(figures)
    largest = max((figure.number for figure in told), default=0) or 1
    return [Figure(f.label, f.number, f.url, round(100 * f.number / largest, 1)) for f in told]


def _list(page: str, **query: Any) -> str:
    return reverse(f"admin:devices_{page}_changelist", query=query or None)
