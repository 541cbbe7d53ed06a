"""What stands against drafts that are right by themselves: each other, devices that are registered, the reach.

Conflicts with devices outside the reach are limited here, for all that write or preview (conflict_limits.py). When the
limit is reached, no further name or MAC is compared with devices outside, in the order of the list. Otherwise 429 for
what conflicts and success for what is free would show the same as a conflict.
"""

import math
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from django.utils.translation import gettext_lazy as _

from devices import conflict_limits, sql
from devices.drafts import Draft, fold
from devices.models import Device, Hospital
from devices.origin import Origin
from devices.problems import CONFLICT_LIMIT, DUPLICATE, FORBIDDEN, UNIQUE, Problem
from devices.reach import Reach

TAKEN = {
    "device_name": _("A device with this name is already registered."),
    "device_mac": _("A device with this MAC address is already registered."),
}
NOT_COMPARED = _(
    "The limit of conflicts with devices outside your scope is used up, so this device was not compared with them. "
    "Retry in %(minutes)d minutes."
)
TWICE = {
    "device_name": _("The device at index %(index)d of this list has the same name."),
    "device_mac": _("The device at index %(index)d of this list has the same MAC address."),
}


def twice(drafts: Sequence[Draft]) -> list[Problem]:
    """Return a problem for each draft that has the name or the MAC of one before it."""
    problems = []
    for field, same in TWICE.items():
        values = [draft[field] for draft in drafts if field in draft]  # type: ignore[literal-required]
        if len(set(values)) == len(values):
            continue
        first: dict[object, int] = {}
        for index, draft in enumerate(drafts):
            if field not in draft:
                continue
            earlier = first.setdefault(draft.get(field), index)
            if earlier != index:
                problems.append(Problem(field, DUPLICATE, same % {"index": earlier}, index))
    return problems


def beyond_reach(drafts: Sequence[Draft], reach: Reach, *, new: bool = False) -> list[Problem]:
    """Return a problem for each draft whose holder is none of the hospitals within the reach.

    A draft of a new device that names no holder means the only hospital there is; of several it must name one.
    """
    if reach.hospitals is None:
        return []
    must_name = new and reach.own is None
    named = {
        index: fold(draft.get("device_holder") or "")
        for index, draft in enumerate(drafts)
        if "device_holder" in draft or must_name
    }
    allowed = {fold(hospital.name) for hospital in reach.hospitals}
    if strange := set(named.values()) - allowed:
        allowed |= Hospital.objects.within(reach).called(strange).keys()
    return [
        Problem("device_holder", FORBIDDEN, reach.refusal, index)
        for index, name in named.items()
        if name not in allowed
    ]


def taken(drafts: Sequence[Draft], origin: Origin, owners: Mapping[int, int] | None = None) -> list[Problem]:
    """Return a problem for each name and MAC that a registered device has, and keeps.

    `owners` maps a device's id to the place of the draft that is about it: a device may keep what it has, or give it up
    to another draft by having another one itself.
    A problem never tells which device it is, nor whose. If the caller may be shown no more conflicts, a draft that was
    not compared has a problem too.
    """
    return taken_or_given_up(drafts, origin, owners or {})[0]


def not_comparable(drafts: Sequence[Draft], origin: Origin, owners: Mapping[int, int] | None = None) -> list[Problem]:
    """Return what is `taken` if the caller may be shown no more conflicts; otherwise nothing, without a query.

    Whoever writes and leaves conflicts to the database's constraints calls this first: success is an answer as well.
    """
    return taken(drafts, origin, owners) if conflict_limits.is_used_up(origin) else []


def taken_or_given_up(
    drafts: Sequence[Draft], origin: Origin, owners: Mapping[int, int]
) -> tuple[list[Problem], dict[int, list[Problem]]]:
    """Return what is `taken`, and what it passes over by the place of the draft that gives it up.

    The latter are problems where that draft is not carried out.
    """
    holders = _holders(drafts, origin)
    found = [
        (index, field, holder)
        for index, draft in enumerate(drafts)
        for field in TAKEN
        if (holder := holders[field].get(draft.get(field))) is not None and owners.get(holder.pk) != index
    ]
    shown, end = _shown(drafts, found, origin)
    kept, given_up = list[Problem](), dict[int, list[Problem]]()
    for index, field, holder in found:
        problem = Problem(field, UNIQUE, TAKEN[field], index)
        if holder.pk in owners and field in drafts[owners[holder.pk]]:
            given_up.setdefault(owners[holder.pk], []).append(problem)
        elif holder.in_scope or (field, drafts[index].get(field)) in shown:
            kept.append(problem)
    return kept + _not_compared(drafts, holders, {problem.index for problem in kept}, end), given_up


class _Holder(NamedTuple):
    """The device that has a name or a MAC."""

    pk: int
    in_scope: bool


_Holders = Mapping[str, Mapping[object, _Holder]]  # by field and value


def _shown(
    drafts: Sequence[Draft], found: Sequence[tuple[int, str, _Holder]], origin: Origin
) -> tuple[set[conflict_limits.Conflict], int]:
    """Return the conflicts outside the scope that may be shown, and the index from which nothing is compared."""
    if origin.reach.hospitals is None:
        return set(), len(drafts)
    outside = [(index, field) for index, field, holder in found if not holder.in_scope]
    shown, end = conflict_limits.show(origin, [(field, drafts[index].get(field)) for index, field in outside])
    if end is None:
        return shown, len(drafts)
    return shown, outside[end - 1][0] + 1 if end else 0


def _not_compared(
    drafts: Sequence[Draft], holders: _Holders, refused: Container[int | None], first: int
) -> list[Problem]:
    """Return a problem for each draft from the first on whose name or MAC no device in scope has."""
    wait = math.ceil(conflict_limits.retry_after() / 60)
    problems = []
    for index, draft in enumerate(drafts[first:], start=first):
        undecided = [field for field in TAKEN if field in draft and not _in_scope(holders[field].get(draft.get(field)))]
        if undecided and index not in refused:
            problems.append(Problem(undecided[0], CONFLICT_LIMIT, NOT_COMPARED % {"minutes": wait}, index))
    if problems:
        conflict_limits.note_unchecked(len(problems))
    return problems


def _in_scope(holder: _Holder | None) -> bool:
    return holder is not None and holder.in_scope


def _holders(drafts: Sequence[Draft], origin: Origin) -> _Holders:
    """Return the registered device that has a name or a MAC of the drafts."""
    found = [
        Device.objects.filter(**{f"{field}__in": sql.any_text([draft[field] for draft in drafts if field in draft])})  # type: ignore[literal-required]
        for field in TAKEN
    ]
    columns = ("pk", "device_holder_id", *TAKEN)
    holders: dict[str, dict[object, _Holder]] = {field: {} for field in TAKEN}
    for pk, hospital, *values in (
        found[0].values_list(*columns).union(*(more.values_list(*columns) for more in found[1:]))
    ):
        holder = _Holder(pk, origin.reach.includes(hospital))
        for field, value in zip(TAKEN, values, strict=True):
            holders[field][value] = holder
    return holders
