"""Find every error of a list of devices.

POST in all modes, PUT, PATCH, dry runs, the admin's form and the import all call `find_problems`.

Conflicts with devices outside the scope are limited here (conflict_limits.py). When the limit is reached, no further
name or MAC is compared with devices outside, in the order of the list. Otherwise 429 for what conflicts and success for
what is free would show the same as a conflict.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from devices import conflict_limits, sql
from devices.drafts import Draft, fold
from devices.models import Device, DeviceQuerySet, Hospital
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
REPEATED = {
    "device_name": _("The device at index %(index)d of this list has the same name."),
    "device_mac": _("The device at index %(index)d of this list has the same MAC address."),
}
WHICH_HOSPITAL = _("Name one of your hospitals: you have several.")

Known = Mapping[int, int]  # the id of the registered device that a draft is about, by the draft's index


def find_problems(
    drafts: Sequence[Draft],
    origin: Origin,
    *,
    malformed: Sequence[Problem] = (),
    known: Known | None = None,
    existing: "Existing | None" = None,
    is_write: bool = False,
    is_partial: bool = False,
    repeated: Sequence[Problem] | None = None,
) -> list[Problem]:
    """Return every problem, by index. Of one draft: fields, duplicates, scope, then registered devices.

    malformed: what reading the drafts has found.
    known: these devices may keep their name and MAC, or give them up to another draft of the list.
    existing: the devices that have a name or a MAC of the drafts, if the caller has them.
    is_write: the caller leaves conflicts to the database's constraints, so registered devices are looked up only if
        something else is wrong, or if the caller may be shown no more conflicts: success is an answer as well.
    is_partial: drafts with a problem are left out of the list.
    repeated: the duplicates, if the caller numbers the drafts in another way than by index.
    """
    known = known or {}
    outside = _find_outside_scope(drafts, origin.reach, known, malformed)
    if repeated is None:
        repeated = [] if is_partial else _find_duplicates(drafts)
    if is_write and not (malformed or outside or repeated or conflict_limits.is_used_up(origin)):
        return []
    taken, given_up = (existing or Existing(drafts, origin)).find_conflicts(known)
    if is_partial:
        wrong = {problem.index or 0 for problem in [*malformed, *outside, *taken]}
        repeated = _find_duplicates_of_right(drafts, wrong)
        taken += _find_kept(given_up, wrong)
    return sorted([*malformed, *repeated, *outside, *taken], key=lambda problem: problem.index or 0)


def find_repeated(
    field: str, values: Iterable[object], numbers: Iterable[int], first: dict[int, int], message: Promise
) -> list[Problem]:
    """Return a problem for each value that an earlier item has. None is no value.

    `first` maps a value's hash to the number of the item that had it first, in earlier parts of a long list too.
    """
    return [
        Problem(field, DUPLICATE, message % {"index": earlier, "line": earlier}, index)
        for index, (value, number) in enumerate(zip(values, numbers, strict=True))
        if value is not None and (earlier := first.setdefault(hash(value), number)) != number
    ]


def _find_duplicates(drafts: Sequence[Draft]) -> list[Problem]:
    problems = []
    for field, message in REPEATED.items():
        values = [draft.get(field) for draft in drafts]
        if len(set(values)) < len(values):
            problems += find_repeated(field, values, range(len(values)), {}, message)
    return problems


def _find_duplicates_of_right(drafts: Sequence[Draft], wrong: set[int]) -> list[Problem]:
    """Of two drafts that are the same, the first one that is right stays; the other joins the wrong ones."""
    problems, first = [], dict[tuple[str, object], int]()
    for index, draft in enumerate(drafts):
        if index in wrong:
            continue
        values = [(field, draft.get(field)) for field in REPEATED]
        if repeated := [value for value in values if value in first]:
            wrong.add(index)
            problems += [
                Problem(value[0], DUPLICATE, REPEATED[value[0]] % {"index": first[value]}, index) for value in repeated
            ]
        else:
            first |= dict.fromkeys(values, index)
    return problems


def _find_kept(given_up: Mapping[int, Sequence[Problem]], wrong: set[int]) -> list[Problem]:
    """Return the conflicts with what the wrong drafts would have given up. A draft with one is wrong, too."""
    problems, pending = [], list(wrong)
    while pending:
        for problem in given_up.get(pending.pop(), ()):
            if problem.index not in wrong:
                wrong.add(problem.index or 0)
                pending.append(problem.index or 0)
                problems.append(problem)
    return problems


def _find_outside_scope(
    drafts: Sequence[Draft], reach: Reach, known: Known, malformed: Sequence[Problem]
) -> list[Problem]:
    """Return a problem for each draft whose hospital is outside the scope, or which must name one of several."""
    if reach.hospitals is None:
        return []
    unreadable = {problem.index for problem in malformed if problem.field == "device_holder"}
    named = {index: draft["device_holder"] for index, draft in enumerate(drafts) if "device_holder" in draft}
    folded = {name: fold(name or "") for name in set(named.values())}
    allowed = {fold(hospital.name) for hospital in reach.hospitals}
    if strange := set(folded.values()) - allowed:
        allowed |= Hospital.objects.within(reach).called(strange).keys()
    problems = [
        Problem("device_holder", FORBIDDEN, reach.refusal, index)
        for index, name in named.items()
        if folded[name] not in allowed
    ]
    if reach.own is None:
        nameless = set(range(len(drafts))) - named.keys() - known.keys() - unreadable
        problems += [Problem("device_holder", "required", WHICH_HOSPITAL, index) for index in nameless]
    return problems


class _Holder(NamedTuple):
    """The device that has a name or a MAC."""

    pk: int
    in_scope: bool


class Existing:
    """The registered devices that have a name or a MAC of these drafts. They are looked up when they are needed."""

    def __init__(self, drafts: Sequence[Draft], origin: Origin) -> None:
        self.drafts = drafts
        self.origin = origin

    @cached_property
    def holders(self) -> Mapping[str, Mapping[object, _Holder]]:
        """The devices by field and value."""
        columns = ("pk", "device_holder_id", *TAKEN)
        by_name, by_mac = (
            Device.objects.filter(**{f"{field}__in": sql.any_text([d[field] for d in self.drafts if field in d])})  # type: ignore[literal-required]
            for field in TAKEN
        )
        holders: dict[str, dict[object, _Holder]] = {field: {} for field in TAKEN}
        for pk, hospital, *values in by_name.values_list(*columns).union(by_mac.values_list(*columns)):
            holder = _Holder(pk, self.origin.reach.includes(hospital))
            for field, value in zip(TAKEN, values, strict=True):
                holders[field][value] = holder
        return holders

    def match(self, ids: Mapping[int, int], load: Callable[[DeviceQuerySet], Mapping[int, Any]]) -> dict[int, Any]:
        """Return the device that each draft is about: the one whose id is given for its index, else that of its MAC.

        `load` returns devices of a query set by id, locked if nobody may change them. Devices outside the scope match
        nothing.
        """
        by_mac = self.holders["device_mac"]
        wanted = {
            index: holder.pk
            for index, draft in enumerate(self.drafts)
            if (holder := by_mac.get(draft.get("device_mac"))) and holder.in_scope
        }
        wanted |= ids
        devices = Device.objects.within(self.origin.reach).filter(pk__in=sql.any_id(sorted(set(wanted.values()))))
        loaded = load(devices.order_by("pk")) if wanted else {}
        matched = {
            index: loaded[pk]
            for index, pk in sorted(wanted.items())
            if pk in loaded and (index in ids or loaded[pk].device_mac == self.drafts[index]["device_mac"])  # still
        }
        if len(matched) < len(wanted):  # another writer was faster: look the holders up again
            del self.holders
        return matched

    def find_conflicts(self, known: Known) -> tuple[list[Problem], dict[int, list[Problem]]]:
        """Return a problem for each name and MAC that a device has and keeps. None tells which device it is.

        If the caller may be shown no more conflicts, a draft that was not compared has a problem too. The second result
        has the conflicts with what another draft gives up, by the index of that draft.
        """
        owners: dict[int, int] = {}
        for index, pk in known.items():
            owners.setdefault(pk, index)
        found = [
            (index, field, holder)
            for index, draft in enumerate(self.drafts)
            for field in TAKEN
            if (holder := self.holders[field].get(draft.get(field))) and owners.get(holder.pk) != index
        ]
        shown, end = self._show(found)
        kept, given_up = [], dict[int, list[Problem]]()
        for index, field, holder in found:
            problem, owner = Problem(field, UNIQUE, TAKEN[field], index), owners.get(holder.pk)
            if owner is not None and field in self.drafts[owner]:
                given_up.setdefault(owner, []).append(problem)
            elif holder.in_scope or (field, self.drafts[index].get(field)) in shown:
                kept.append(problem)
        return kept + self._find_not_compared({problem.index for problem in kept}, end), given_up

    def _show(self, found: Sequence[tuple[int, str, _Holder]]) -> tuple[set[conflict_limits.Conflict], int]:
        """Return the conflicts outside the scope that may be shown, and the index from which nothing is compared."""
        if self.origin.reach.hospitals is None:
            return set(), len(self.drafts)
        outside = [(index, field) for index, field, holder in found if not holder.in_scope]
        conflicts = [(field, self.drafts[index].get(field)) for index, field in outside]
        shown, end = conflict_limits.show(self.origin, conflicts)
        if end is None:
            return shown, len(self.drafts)
        return shown, outside[end - 1][0] + 1 if end else 0

    def _find_not_compared(self, refused: set[int | None], first: int) -> list[Problem]:
        """Return a problem for each draft from the first on whose name or MAC no device in scope has."""
        wait = math.ceil(conflict_limits.retry_after() / 60)
        problems = []
        for index, draft in enumerate(self.drafts[first:], start=first):
            undecided = [
                field
                for field in TAKEN
                if field in draft and not ((holder := self.holders[field].get(draft.get(field))) and holder.in_scope)
            ]
            if undecided and index not in refused:
                problems.append(Problem(undecided[0], CONFLICT_LIMIT, NOT_COMPARED % {"minutes": wait}, index))
        if problems:
            conflict_limits.note_unchecked(len(problems))
        return problems
