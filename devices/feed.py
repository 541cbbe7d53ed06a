"""The change feed: what happened to the devices, in one order that never changes, with nothing left out.

The history of devices is the feed (docs/decisions/0009): a change is told once no transaction that is still open can
bring an earlier one.
"""

import secrets
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple, Protocol

from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from devices import history, sql
from devices.cursors import Cursor
from devices.models import LEFT, ChangeFeed, Device, FormerName
from devices.prepared import Parameter, Prepared
from devices.reach import Reach

Change = Device.history.model

CREATED, UPDATED, DELETED, RESTORED = ACTIONS = ("created", "updated", "deleted", "restored")
COLUMNS = ("history_id", "history_type", "history_change_reason", "history_holder_before_id")
# Of a hospital that was merged into another, only what it became is left.
HOLDER = Coalesce(
    "device_holder__name",
    Subquery(FormerName.objects.filter(former_id=OuterRef("device_holder_id")).values("hospital__name")[:1]),
)


class Telling(Protocol):
    """How what is told is made by the database: expressions of a change, for an instant and for the device."""

    def instant(self, name: str) -> Any: ...
    def device(self, holder: Any) -> Any: ...
    def __hash__(self) -> int: ...


class Event(NamedTuple):
    """What happened, from where somebody stands; a device that was deleted is told as it was before."""

    position: int
    action: str
    at: Any
    device: Any


@dataclass(frozen=True, slots=True)
class Page:
    events: list[Event]
    end: int  # the position to go on from


class State(NamedTuple):
    """What the cursors of this registry depend on."""

    key: bytes
    pruned_to: int


def state() -> State:
    """Return the state, after making it if this is the first use."""
    rows = _state().rows()
    if not rows:
        kept, _new = ChangeFeed.objects.get_or_create(pk=1, defaults={"key": secrets.token_bytes(32)})
        rows = [(kept.key, kept.pruned_to)]
    [(key, pruned_to)] = rows
    return State(bytes(key), pruned_to)


@cache
def _state() -> Prepared:
    return Prepared(ChangeFeed.objects.filter(pk=1).values_list(*State._fields), as_sent=True)


def pruned_to() -> int:
    rows = _pruned_to().rows()
    return int(rows[0][0]) if rows else 0


@cache
def _pruned_to() -> Prepared:
    return Prepared(ChangeFeed.objects.values_list("pruned_to"), as_sent=True)


class Ahead(Exception):
    """The position is behind the last change that there is: a backup of before it was restored."""


def settled() -> int:
    """Return the position up to which nothing can come in any more."""
    return _ends()[1]


def _ends() -> tuple[int, int]:
    """Return the position of the last change, and that up to which nothing can come in any more."""
    last, written_from = sql.fetch_one(sql.LAST_CHANGE[connection.vendor])
    return last, last if written_from is None else min(last, written_from)


def is_too_old(cursor: Cursor, pruned_to: int) -> bool:
    """Tell whether changes behind the cursor have been pruned since whoever holds it began."""
    return cursor.position < pruned_to and cursor.floor < pruned_to


def read(after: int, size: int, reach: Reach, telling: Telling, pruned_to: int = 0) -> Page:
    """Return the next events behind a position, at a cost that depends neither on it nor on how many there are.

    1. Ask how far the changes are settled, then, in another statement, read them that far: whoever was still writing
       at the first is excluded by its answer, all others have committed before the second began.
    2. Of a hospital, read also the changes by which devices left it, and merge the two.
    3. Where changes have been pruned, what is left of each device is one change, which tells that it is there.

    Raises:
        Ahead: there is no change yet at the position.
    """
    last, end = _ends()
    if after > last:
        raise Ahead
    if end <= after:
        return Page([], after)
    held = _held(connection.vendor, reach, telling).rows(limit=size, after=after, end=end)
    events = [
        Event(position, _action(position, kind, reason, before, reach, pruned_to), at, told)
        for position, kind, reason, before, at, told in held
    ]
    if reach.ids is not None:
        left = _left(connection.vendor, reach).rows(limit=size, after=max(after, pruned_to), end=end)
        events = sorted(events + _departures(left, telling))[:size]
    return Page(events, events[-1].position if len(events) == size else end)


def _between() -> QuerySet[Any]:
    changes: QuerySet[Any] = Change.objects.order_by("history_id")
    return changes.filter(history_id__gt=Parameter("after"), history_id__lte=Parameter("end"))


@lru_cache(maxsize=1000)
def _held(_vendor: str, reach: Reach, telling: Telling) -> Prepared:
    changes = _between() if reach.ids is None else _between().filter(device_holder__in=reach.ids)
    rows = changes.values_list(*COLUMNS, telling.instant("history_date"), telling.device(HOLDER))
    return Prepared(rows, as_sent=True)


@lru_cache(maxsize=1000)
def _left(_vendor: str, reach: Reach) -> Prepared:
    last = Change.objects.filter(id=OuterRef("id"), history_id__lt=OuterRef("history_id")).order_by("-history_id")
    left = _between().filter(LEFT, history_holder_before__in=reach.ids).exclude(device_holder__in=reach.ids)
    return Prepared(left.values_list("history_id", Subquery(last.values("history_id")[:1])), as_sent=True)


def _departures(left: list[tuple[Any, ...]], telling: Telling) -> list[Event]:
    """Return them with the devices as they were before: what they became is not the business of who had them."""
    if not left:
        return []
    changes = Change.objects.filter(pk__in=[pk for pair in left for pk in pair])
    rows = changes.values_list("history_id", telling.instant("history_date"), telling.device(HOLDER))
    told = {position: (at, device) for position, at, device in rows}
    return [Event(position, DELETED, told[position][0], told[before][1]) for position, before in left]


def _action(position: int, kind: str, reason: str | None, before: int | None, reach: Reach, pruned_to: int) -> str:
    if kind == history.REMOVED:
        return DELETED
    if position <= pruned_to:
        return CREATED
    if kind == history.ADDED:
        return RESTORED if reason == history.RESTORED else CREATED
    return UPDATED if reach.includes(before) else CREATED
