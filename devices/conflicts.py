"""What stands against drafts that are right by themselves: each other, devices that are registered, the reach."""

from collections.abc import Mapping, Sequence

from django.utils.translation import gettext_lazy as _

from devices import sql
from devices.drafts import Draft, fold
from devices.models import Device, Hospital
from devices.problems import DUPLICATE, FORBIDDEN, UNIQUE, Problem
from devices.reach import Reach

TAKEN = {
    "device_name": _("A device with this name is already registered."),
    "device_mac": _("A device with this MAC address is already registered."),
}
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


def taken(drafts: Sequence[Draft], owners: Mapping[int, int] | None = None) -> list[Problem]:
    """Return a problem for each name and MAC that a registered device has, and keeps.

    `owners` maps a device's id to the place of the draft that is about it: a device may keep what it has, or give it up
    to another draft by having another one itself.
    A problem never tells which device it is, nor whose.
    """
    return taken_or_given_up(drafts, owners or {})[0]


def taken_or_given_up(
    drafts: Sequence[Draft], owners: Mapping[int, int]
) -> tuple[list[Problem], dict[int, list[Problem]]]:
    """Return what is `taken`, and what it passes over by the place of the draft that gives it up.

    The latter are problems where that draft is not carried out.
    """
    kept, given_up = list[Problem](), dict[int, list[Problem]]()
    for problem, pk in _had_by_others(drafts, owners):
        if pk in owners and problem.field in drafts[owners[pk]]:
            given_up.setdefault(owners[pk], []).append(problem)
        else:
            kept.append(problem)
    return kept, given_up


def _had_by_others(drafts: Sequence[Draft], owners: Mapping[int, int]) -> list[tuple[Problem, int]]:
    """Return a problem for each name and MAC that another device has, with that device's id."""
    found = [
        Device.objects.filter(**{f"{field}__in": sql.any_text([draft[field] for draft in drafts if field in draft])})  # type: ignore[literal-required]
        for field in TAKEN
    ]
    columns = ("pk", *TAKEN)
    holders: dict[str, dict[str, int]] = {field: {} for field in TAKEN}
    for pk, *values in found[0].values_list(*columns).union(*(more.values_list(*columns) for more in found[1:])):
        for field, value in zip(TAKEN, values, strict=True):
            holders[field][value] = pk
    return [
        (Problem(field, UNIQUE, message, index), pk)
        for index, draft in enumerate(drafts)
        for field, message in TAKEN.items()
        if (pk := holders[field].get(draft.get(field, ""))) is not None and owners.get(pk) != index  # type: ignore[call-overload]
    ]
