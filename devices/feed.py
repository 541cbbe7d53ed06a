"""The change feed: what happened to the devices, in one order that never changes, with nothing left out.

The history of devices is the feed (docs/decisions/0009): a change is told once no transaction that is still open can
bring an earlier one.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery

from devices import registry, sql
from devices.cursors import Cursor
from devices.models import LEFT, ChangeFeed, Device, FormerName, Hospital
from devices.reach import Reach

Change = Device.history.model
LAST = Change.objects.order_by("-history_id")

CREATED, UPDATED, DELETED, RESTORED = ACTIONS = ("created", "updated", "deleted", "restored")
COLUMNS = (
    "history_id",
    "history_type",
    "history_change_reason",
    "history_date",
    "history_holder_before_id",
    "id",
    "device_name",
    "device_mac",
    "device_type",
    "device_holder_id",
    "device_holder__name",
    "created_at",
    "updated_at",
)


class Row(NamedTuple):
    """A change, and the device as it was after it."""

    position: int
    kind: str
    reason: str | None
    at: datetime
    holder_before_id: int | None
    device_id: int
    device_name: str
    device_mac: str
    device_type: str
    holder_id: int | None
    holder: str | None
    created_at: datetime
    updated_at: datetime


class Event(NamedTuple):
    """What happened, from where somebody stands; a device that was deleted is told as it was before."""

    position: int
    action: str
    at: datetime
    device: Row


@dataclass(frozen=True, slots=True)
class Page:
    events: list[Event]
    end: int  # the position to go on from


def state() -> ChangeFeed:
    """Return what the cursors of this registry depend on."""
    known = ChangeFeed.objects.filter(pk=1).first()
    return known or ChangeFeed.objects.get_or_create(pk=1, defaults={"key": secrets.token_bytes(32)})[0]


def pruned_to() -> int:
    return ChangeFeed.objects.values_list("pruned_to", flat=True).first() or 0


def settled() -> int:
    """Return the position up to which nothing can come in any more."""
    last, _named, _pruned_to, written_from = sql.fetch_one(_last_of_all(connection.vendor))
    return int(last) if written_from is None else min(last, written_from)


def version(reach: Reach) -> str | None:
    """Return what changes with every change within the reach; None while an earlier one than the last may come.

    The last change of a hospital is one of what it holds, or one by which something left it. What the names of
    hospitals mean, and what was pruned, count as well.
    """
    if reach.ids is None:
        found = sql.fetch_one(_last_of_all(connection.vendor))
    else:
        ids = list(reach.ids)
        found = sql.fetch_one(_last_of_hospitals(connection.vendor, len(ids)), ids * 2)
    *last, named, pruned_to, written_from = found
    if written_from is not None and written_from < max(last):
        return None
    return f"{max(last)}-{named}-{pruned_to}"


@cache
def _last_of_all(_vendor: str) -> str:
    return _last(LAST)


@cache
def _last_of_hospitals(_vendor: str, number: int) -> str:
    """Return SQL that takes so many ids of hospitals twice."""
    ids = range(number)
    return _last(LAST.filter(device_holder__in=ids), LAST.filter(LEFT, history_holder_before__in=ids))


def _last(*changes: QuerySet[Any]) -> str:
    names = Hospital.history.order_by("-history_id")
    numbers = [rows.values_list("history_id", flat=True) for rows in (*changes, names)]
    return sql.last_changes(*numbers, ChangeFeed.objects.values_list("pruned_to", flat=True))


def is_too_old(cursor: Cursor, pruned_to: int) -> bool:
    """Tell whether changes behind the cursor have been pruned since whoever holds it began."""
    return cursor.position < pruned_to and cursor.floor < pruned_to


def read(after: int, size: int, reach: Reach, pruned_to: int = 0) -> Page:
    """Return the next events behind a position, at a cost that depends neither on it nor on how many there are.

    1. Ask how far the changes are settled, then, in another statement, read them that far: whoever was still writing
       at the first is excluded by its answer, all others have committed before the second began.
    2. Of a hospital, read also the changes by which devices left it, and merge the two.
    3. Where changes have been pruned, what is left of each device is one change, which tells that it is there.
    """
    end = settled()
    if end <= after:
        return Page([], after)
    changes = Change.objects.filter(history_id__gt=after, history_id__lte=end).order_by("history_id")
    held = changes if reach.ids is None else changes.filter(device_holder__in=reach.ids)
    rows = _rows(held[:size])
    events = [Event(row.position, _action(row, reach, pruned_to), row.at, row) for row in rows]
    if reach.ids is not None:
        left = changes.filter(LEFT, history_holder_before__in=reach.ids).exclude(device_holder__in=reach.ids)
        events = sorted(events + _departures(left.filter(history_id__gt=pruned_to)[:size]))[:size]
    return Page(events, events[-1].position if len(events) == size else end)


def _departures(left: QuerySet[Any]) -> list[Event]:
    """Return them with the devices as they were before: what they became is not the business of who had them."""
    last = Change.objects.filter(id=OuterRef("id"), history_id__lt=OuterRef("history_id")).order_by("-history_id")
    found = list(left.values_list("history_id", "history_date", Subquery(last.values("history_id")[:1])))
    before = {row.position: row for row in _rows(Change.objects.filter(pk__in=[row[2] for row in found]))}
    return [Event(position, DELETED, at, before[previous]) for position, at, previous in found]


def _rows(changes: QuerySet[Any]) -> list[Row]:
    rows = [Row(*values) for values in changes.values_list(*COLUMNS)]
    if gone := {row.holder_id for row in rows if row.holder_id is not None and row.holder is None}:
        names = dict(FormerName.objects.filter(former_id__in=gone).values_list("former_id", "hospital__name"))
        rows = [row._replace(holder=row.holder or names.get(row.holder_id)) for row in rows]
    return rows


def _action(row: Row, reach: Reach, pruned_to: int) -> str:
    if row.kind == registry.REMOVED:
        return DELETED
    if row.position <= pruned_to:
        return CREATED
    if row.kind == registry.ADDED:
        return RESTORED if row.reason == registry.RESTORED else CREATED
    return UPDATED if reach.includes(row.holder_before_id) else CREATED
