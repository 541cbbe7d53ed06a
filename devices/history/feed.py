"""The change feed: what happened to the devices, in an order that never changes, without gaps.

The feed is the history of devices (docs/decisions/0009). A change is returned once no open transaction can still write
an earlier one.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
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

# The name of the holder. Of a hospital that was merged into another, only the other's name is left.
HOSPITAL_NAME = Coalesce(
    "device_holder__name",
    Subquery(HospitalAlias.objects.filter(former_id=OuterRef("device_holder_id")).values("hospital__name")[:1]),
)

# Returns expressions of a change, given that of its holder's name: its time and the device, as the API writes them.
Representation = Callable[[Any], tuple[Any, Any]]


class Event(NamedTuple):
    """What happened, as seen from a scope. A deleted device is represented as it was before."""

    position: int
    action: str
    at: Any
    device: Any


@dataclass(frozen=True, slots=True)
class Page:
    events: list[Event]
    end: int  # the position to continue from


class State(NamedTuple):
    """What cursors depend on: their key, and the change up to which older ones may have been pruned."""

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


@cache
def _state() -> CompiledQuery:
    return CompiledQuery(ChangeFeed.objects.filter(pk=1).values_list(*State._fields), raw=True)


class PositionInFuture(Exception):
    """The position is after the last change: an older backup was restored."""


def stable_watermark() -> int:
    """Return the position up to which no change can be added any more."""
    return _ends()[1]


def _ends() -> tuple[int, int]:
    """Return the position of the last change, and that up to which no change can be added any more."""
    last, written_from = queries.fetch_one(LAST_CHANGE[connection.vendor])
    return last, last if written_from is None else min(last, written_from)


def is_expired(cursor: Cursor, pruned_to: int) -> bool:
    """Return whether changes after the cursor have been pruned since its client began."""
    return cursor.position < pruned_to and cursor.pruned_to < pruned_to


def read_page(after: int, size: int, scope: Scope, representation: Representation, pruned_to: int = 0) -> Page:
    """Return the next events after a position. The cost depends neither on it nor on the number of changes.

    1. Find the position up to which changes are settled. Then, in another statement, read up to there: every
       transaction that was open at the first is after that position, and all others committed before the second.
    2. For a hospital, also read the changes by which devices left it, and merge the two.
    3. Of a device whose changes were pruned, one is left. It is returned as its creation.

    Raises:
        Ahead: the position is after the last change.
    """
    last, end = _ends()
    if after > last:
        raise PositionInFuture
    if end <= after:
        return Page([], after)
    events = [
        Event(position, _action(position, kind, reason, before, scope, pruned_to), at, device)
        for position, kind, reason, before, at, device in _changes_in_scope(scope, representation).fetch(
            size, after=after, end=end
        )
    ]
    if scope.hospital_ids is not None:
        departures = _departures_query(scope).fetch(size, after=max(after, pruned_to), end=end)
        events = sorted(events + _departures(departures, representation))[:size]
    return Page(events, events[-1].position if len(events) == size else end)


def _between() -> QuerySet[Any]:
    changes: QuerySet[Any] = Change.objects.order_by("history_id")
    return changes.filter(history_id__gt=Parameter("after"), history_id__lte=Parameter("end"))


@lru_cache(maxsize=1000)
def _changes_in_scope(scope: Scope, representation: Representation) -> CompiledQuery:
    changes = _between() if scope.hospital_ids is None else _between().filter(device_holder__in=scope.hospital_ids)
    columns = ("history_id", "history_type", "history_change_reason", "history_previous_holder_id")
    return CompiledQuery(changes.values_list(*columns, *representation(HOSPITAL_NAME)), raw=True)


@lru_cache(maxsize=1000)
def _departures_query(scope: Scope) -> CompiledQuery:
    """Return the changes by which devices left the scope, each with the device's change before it."""
    last = Change.objects.filter(id=OuterRef("id"), history_id__lt=OuterRef("history_id")).order_by("-history_id")
    left = (
        _between()
        .filter(DEPARTED, history_previous_holder__in=scope.hospital_ids)
        .exclude(device_holder__in=scope.hospital_ids)
    )
    return CompiledQuery(left.values_list("history_id", Subquery(last.values("history_id")[:1])), raw=True)


def _departures(left: list[tuple[int, int]], representation: Representation) -> list[Event]:
    """Return the events with the devices as they were before: the new holder's data is out of scope."""
    if not left:
        return []
    changes = Change.objects.filter(pk__in=[pk for pair in left for pk in pair])
    found = {pk: (at, device) for pk, at, device in changes.values_list("history_id", *representation(HOSPITAL_NAME))}
    return [Event(position, DELETED, found[position][0], found[before][1]) for position, before in left]


def _action(position: int, kind: str, reason: str | None, before: int | None, scope: Scope, pruned_to: int) -> str:
    if kind == recording.DELETED:
        return DELETED
    if position <= pruned_to:
        return CREATED
    if kind == recording.CREATED:
        return RESTORED if reason == recording.RESTORED else CREATED
    return UPDATED if scope.allows(before) else CREATED
