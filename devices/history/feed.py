"""The change feed: the changes of devices, in an order that never changes, without gaps.

The feed reads the history of devices (decision 9). It returns a change only when no open transaction can still write an
earlier one.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from devices.crypto.cursors import Cursor
from devices.db import queries
from devices.db.compiled import CompiledQuery, Parameter
from devices.db.triggers.feed import LAST_CHANGE
from devices.history import recording
from devices.models import DEPARTED, ChangeFeed, Device, HospitalAlias
from devices.values.scope import Scope

Change = Device.history.model

CREATED, UPDATED, DELETED, RESTORED = ACTIONS = ("created", "updated", "deleted", "restored")

# The name of the device's hospital. After a merge, it is the name of the hospital that is left.
HOSPITAL_NAME = Coalesce(
    "device_holder__name",
    Subquery(HospitalAlias.objects.filter(former_id=OuterRef("device_holder_id")).values("hospital__name")[:1]),
)

# Takes the expression of the hospital's name, and returns two expressions of a change: its time and its device, in the
# form in which the API returns them.
Representation = Callable[[Any], tuple[Any, Any]]


class Event(NamedTuple):
    """A change as it appears in a scope. A deleted device has the values from before the change."""

    position: int
    action: str
    at: Any
    device: Any


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order, and the position after which the next page begins."""

    events: list[Event]
    end: int


class State(NamedTuple):
    """The key that encrypts cursors, and the position up to which changes may have been pruned."""

    key: bytes
    pruned_to: int


def state() -> State:
    """Return the state. The first call creates it."""
    rows = _state().fetch()
    if not rows:
        created, _new = ChangeFeed.objects.get_or_create(pk=1, defaults={"key": secrets.token_bytes(32)})
        rows = [(created.key, created.pruned_to)]
    [(key, pruned_to)] = rows
    return State(bytes(key), pruned_to)


def begin_epoch() -> None:
    """Let each cursor that clients have expire: they get 410, and start over. Decision 46 has the reasons.

    The next cursors are encrypted with a new key, and no key of before decrypts them.
    """
    ChangeFeed.objects.update_or_create(pk=1, defaults={"key": secrets.token_bytes(32)})


@cache
def _state() -> CompiledQuery:
    return CompiledQuery(ChangeFeed.objects.filter(pk=1).values_list(*State._fields), raw=True)


class PositionInFuture(Exception):
    """The position is after the last change: the database was restored from an older backup."""


def stable_watermark() -> int:
    """Return the position up to which no change can be added any more."""
    return _last_and_stable()[1]


def _last_and_stable() -> tuple[int, int]:
    """Return the position of the last change, and the position up to which no change can be added any more."""
    last, before_open = queries.fetch_one(LAST_CHANGE[connection.vendor])
    return last, last if before_open is None else min(last, before_open)


def lag(now: datetime) -> float:
    """Return the age in seconds of the oldest change that the feed cannot return yet, 0 if there is none.

    A transaction that is open for a long time delays the changes that others have committed after its first one.
    """
    last, stable = _last_and_stable()
    if last <= stable:
        return 0.0
    at = Change.objects.filter(history_id__gt=stable).order_by("history_id").values_list("history_date", flat=True)
    oldest = at.first()
    return max(0.0, (now - oldest).total_seconds()) if oldest else 0.0


def is_expired(cursor: Cursor, pruned_to: int) -> bool:
    """Return whether changes after the cursor's position have been pruned since its client began to read the feed."""
    return cursor.position < pruned_to and cursor.pruned_to < pruned_to


def read_page(
    after: int,
    size: int,
    scope: Scope,
    representation: Representation,
    pruned_to: int = 0,
    device_id: int | None = None,
) -> Page:
    """Return up to `size` events after the position `after`, of all devices or of one.

    The cost depends neither on the position nor on the number of changes.

    1. The first statement finds the position up to which the feed is stable. The second reads the changes up to there:
       transactions that were open at the first statement write after that position, and all others have committed.
    2. For the scope of a hospital, a third statement reads the changes by which devices left it. Both are merged.
    3. Of a device whose changes were pruned, only the last is left. It is returned as `created`.

    Raises:
        PositionInFuture: the position is after the last change.
    """
    last, end = _last_and_stable()
    if after > last:
        raise PositionInFuture
    if end <= after:
        return Page([], after)
    of_one = device_id is not None
    between = {"after": after, "end": end, "device": device_id}
    events = [
        Event(position, _action(position, kind, reason, before, scope, pruned_to), at, device)
        for position, kind, reason, before, at, device in _changes_in_scope(scope, representation, of_one).fetch(
            size, **between
        )
    ]
    if scope.hospital_ids is not None:
        departures = _departures_query(scope, of_one).fetch(size, **between | {"after": max(after, pruned_to)})
        events = sorted(events + _departures(departures, representation))[:size]
    return Page(events, events[-1].position if len(events) == size else end)


def _between(of_one: bool) -> QuerySet[Any]:
    """Return the changes after the position `after` up to the position `end`, in order.

    of_one: only the changes of the device with the id `device`.
    """
    changes: QuerySet[Any] = Change.objects.order_by("history_id")
    if of_one:
        changes = changes.filter(id=Parameter("device"))
    return changes.filter(history_id__gt=Parameter("after"), history_id__lte=Parameter("end"))


def _of_hospitals(changes: QuerySet[Any], column: str, scope: Scope, of_one: bool) -> QuerySet[Any]:
    """Return the changes that have a hospital of the scope in the column.

    of_one: without the index of the column. SQLite would prefer it to the index of devices, and read the whole history
    of a hospital.
    """
    if of_one:
        changes = changes.alias(hospital=Coalesce(column, 0))
        column = "hospital"
    return changes.filter(**{f"{column}__in": scope.hospital_ids})


@lru_cache(maxsize=1000)
def _changes_in_scope(scope: Scope, representation: Representation, of_one: bool) -> CompiledQuery:
    changes = _between(of_one)
    if scope.hospital_ids is not None:
        changes = _of_hospitals(changes, "device_holder_id", scope, of_one)
    columns = ("history_id", "history_type", "history_change_reason", "history_previous_holder_id")
    return CompiledQuery(changes.values_list(*columns, *representation(HOSPITAL_NAME)), raw=True)


@lru_cache(maxsize=1000)
def _departures_query(scope: Scope, of_one: bool) -> CompiledQuery:
    """Return a query of the changes by which devices left the scope: the number of each, and of the change before."""
    before = Change.objects.filter(id=OuterRef("id"), history_id__lt=OuterRef("history_id")).order_by("-history_id")
    departed = _between(of_one).filter(DEPARTED).exclude(device_holder__in=scope.hospital_ids)
    departures = _of_hospitals(departed, "history_previous_holder_id", scope, of_one)
    return CompiledQuery(departures.values_list("history_id", Subquery(before.values("history_id")[:1])), raw=True)


def _departures(rows: list[tuple[int, int]], representation: Representation) -> list[Event]:
    """Return the `deleted` events of `_departures_query`.

    They have the values from before the change, because the values at the new hospital are out of scope.
    """
    if not rows:
        return []
    changes = Change.objects.filter(pk__in=[pk for pair in rows for pk in pair])
    found = {pk: (at, device) for pk, at, device in changes.values_list("history_id", *representation(HOSPITAL_NAME))}
    return [Event(position, DELETED, found[position][0], found[before][1]) for position, before in rows]


def _action(position: int, kind: str, reason: str | None, before: int | None, scope: Scope, pruned_to: int) -> str:
    """Return the action of a change in the scope. `before` is the device's hospital before the change."""
    if kind == recording.DELETED:
        return DELETED
    if position <= pruned_to:
        return CREATED
    if kind == recording.CREATED:
        return RESTORED if reason == recording.RESTORED else CREATED
    return UPDATED if scope.allows(before) else CREATED
