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

from devices.access import conflict_limits
from devices.access.actor import Actor
from devices.db import expressions
from devices.models import Device, DeviceQuerySet, Hospital
from devices.registry.device_data import DeviceData
from devices.values.error_codes import ErrorCode
from devices.values.errors import CONFLICT_LIMIT, DUPLICATE, FORBIDDEN, UNIQUE, FieldError
from devices.values.hospital_names import fold_name

UNIQUE_MESSAGES = {
    "device_name": _("A device with this name is already registered."),
    "device_mac": _("A device with this MAC address is already registered."),
}
NOT_COMPARED = _(
    "The limit of conflicts with devices outside your scope is used up, so this device was not compared with them. "
    "Retry in %(minutes)d minutes."
)
DUPLICATE_MESSAGES = {
    "device_name": _("Duplicate name: the device at index %(index)d of the array has the same one."),
    "device_mac": _("Duplicate MAC address: the device at index %(index)d of the array has the same one."),
}
AMBIGUOUS_HOSPITAL = _("You manage several hospitals. Select one of them.")

OTHER_HOSPITAL_OF_KEY = _(
    "This API key is limited to its own hospital. Omit this field, or send the name of that hospital."
)
OTHER_HOSPITAL_OF_USER = _("You can manage devices of your own hospitals only.")

Known = Mapping[int, int]  # the id of the registered device that a draft is about, by the draft's index


def find_problems(
    items: Sequence[DeviceData],
    actor: Actor,
    *,
    malformed: Sequence[FieldError] = (),
    known: Known | None = None,
    existing: "Existing | None" = None,
    is_write: bool = False,
    is_partial: bool = False,
    duplicates: Sequence[FieldError] | None = None,
) -> list[FieldError]:
    """Return every problem, by index. Of one draft: fields, duplicates, scope, then registered devices.

    malformed: what reading the drafts has found.
    known: these devices may keep their name and MAC, or give them up to another draft of the list.
    existing: the devices that have a name or a MAC of the drafts, if the caller has them.
    is_write: the caller leaves conflicts to the database's constraints, so registered devices are looked up only if
        something else is wrong, or if the caller may be shown no more conflicts: success is an answer as well.
    is_partial: drafts with a problem are left out of the list.
    duplicates: the duplicates, if the caller numbers the drafts in another way than by index.
    """
    known = known or {}
    outside = _find_outside_scope(items, actor, known, malformed)
    if duplicates is None:
        duplicates = [] if is_partial else _find_all_duplicates(items)
    if is_write and not (malformed or outside or duplicates or conflict_limits.is_exhausted(actor)):
        return []
    taken, given_up = (existing or Existing(items, actor)).find_conflicts(known)
    if is_partial:
        wrong = {problem.index or 0 for problem in [*malformed, *outside, *taken]}
        duplicates = _find_duplicates_of_valid(items, wrong)
        taken += _find_kept(given_up, wrong)
    return sorted([*malformed, *duplicates, *outside, *taken], key=lambda problem: problem.index or 0)


def find_duplicates(
    field: str, values: Iterable[object], numbers: Iterable[int], first: dict[int, int], message: Promise
) -> list[FieldError]:
    """Return a problem for each value that an earlier item has. None is no value.

    `first` maps a value's hash to the number of the item that had it first, in earlier parts of a long list too.
    """
    return [
        FieldError(field, DUPLICATE, message % {"index": earlier, "line": earlier}, index)
        for index, (value, number) in enumerate(zip(values, numbers, strict=True))
        if value is not None and (earlier := first.setdefault(hash(value), number)) != number
    ]


def _find_all_duplicates(items: Sequence[DeviceData]) -> list[FieldError]:
    problems = []
    for field, message in DUPLICATE_MESSAGES.items():
        values = [item.get(field) for item in items]
        if len(set(values)) < len(values):
            problems += find_duplicates(field, values, range(len(values)), {}, message)
    return problems


def _find_duplicates_of_valid(items: Sequence[DeviceData], wrong: set[int]) -> list[FieldError]:
    """Of two drafts that are the same, the first one that is right stays; the other joins the wrong ones."""
    problems, first = [], dict[tuple[str, object], int]()
    for index, item in enumerate(items):
        if index in wrong:
            continue
        values = [(field, item.get(field)) for field in DUPLICATE_MESSAGES]
        if found := [value for value in values if value in first]:
            wrong.add(index)
            problems += [
                FieldError(value[0], DUPLICATE, DUPLICATE_MESSAGES[value[0]] % {"index": first[value]}, index)
                for value in found
            ]
        else:
            first |= dict.fromkeys(values, index)
    return problems


def _find_kept(given_up: Mapping[int, Sequence[FieldError]], wrong: set[int]) -> list[FieldError]:
    """Return the conflicts with what the wrong drafts would have given up. A draft with one is wrong, too."""
    problems, pending = [], list(wrong)
    while pending:
        for problem in given_up.get(pending.pop(), ()):
            if problem.index not in wrong:
                wrong.add(problem.index or 0)
                pending.append(problem.index or 0)
                problems.append(problem)
    return problems


def out_of_scope(actor: Actor, index: int | None = None) -> FieldError:
    """Return the error of a device for a hospital that is not in the actor's scope."""
    message = OTHER_HOSPITAL_OF_KEY if actor.api_key else OTHER_HOSPITAL_OF_USER
    return FieldError("device_holder", FORBIDDEN, message, index)


def _find_outside_scope(
    items: Sequence[DeviceData], actor: Actor, known: Known, malformed: Sequence[FieldError]
) -> list[FieldError]:
    """Return a problem for each draft whose hospital is outside the scope, or which must name one of several."""
    scope = actor.scope
    if scope.hospitals is None:
        return []
    unreadable = {problem.index for problem in malformed if problem.field == "device_holder"}
    named = {index: item["device_holder"] for index, item in enumerate(items) if "device_holder" in item}
    folded = {name: fold_name(name or "") for name in set(named.values())}
    allowed = {fold_name(hospital.name) for hospital in scope.hospitals}
    if strange := set(folded.values()) - allowed:
        allowed |= Hospital.objects.in_scope(scope).by_name(strange).keys()
    problems = [out_of_scope(actor, index) for index, name in named.items() if folded[name] not in allowed]
    if scope.default_hospital is None:
        nameless = set(range(len(items))) - named.keys() - known.keys() - unreadable
        problems += [FieldError("device_holder", ErrorCode.REQUIRED, AMBIGUOUS_HOSPITAL, index) for index in nameless]
    return problems


class _Owner(NamedTuple):
    """The device that has a name or a MAC."""

    pk: int
    in_scope: bool


def _values(items: Sequence[DeviceData], field: str) -> list[str]:
    return [item[field] for item in items if field in item]  # type: ignore[literal-required]


class Existing:
    """The registered devices that have a name or a MAC of these drafts. They are looked up when they are needed."""

    def __init__(self, items: Sequence[DeviceData], actor: Actor) -> None:
        self.items = items
        self.actor = actor

    @cached_property
    def owners(self) -> Mapping[str, Mapping[object, _Owner]]:
        """The devices by field and value."""
        columns = ("pk", "device_holder_id", *UNIQUE_MESSAGES)
        by_name, by_mac = (
            Device.objects.filter(**{f"{field}__in": expressions.in_texts(_values(self.items, field))})
            for field in UNIQUE_MESSAGES
        )
        holders: dict[str, dict[object, _Owner]] = {field: {} for field in UNIQUE_MESSAGES}
        for pk, hospital, *values in by_name.values_list(*columns).union(by_mac.values_list(*columns)):
            holder = _Owner(pk, self.actor.scope.allows(hospital))
            for field, value in zip(UNIQUE_MESSAGES, values, strict=True):
                holders[field][value] = holder
        return holders

    def match(self, ids: Mapping[int, int], load: Callable[[DeviceQuerySet], Mapping[int, Any]]) -> dict[int, Any]:
        """Return the device that each draft is about: the one whose id is given for its index, else that of its MAC.

        `load` returns devices of a query set by id, locked if nobody may change them. Devices outside the scope match
        nothing.
        """
        by_mac = self.owners["device_mac"]
        wanted = {
            index: holder.pk
            for index, item in enumerate(self.items)
            if (holder := by_mac.get(item.get("device_mac"))) and holder.in_scope
        }
        wanted |= ids
        devices = Device.objects.in_scope(self.actor.scope).filter(
            pk__in=expressions.in_ids(sorted(set(wanted.values())))
        )
        loaded = load(devices.order_by("pk")) if wanted else {}
        matched = {
            index: loaded[pk]
            for index, pk in sorted(wanted.items())
            if pk in loaded and (index in ids or loaded[pk].device_mac == self.items[index]["device_mac"])  # still
        }
        if len(matched) < len(wanted):  # another writer was faster: look the holders up again
            del self.owners
        return matched

    def find_conflicts(self, known: Known) -> tuple[list[FieldError], dict[int, list[FieldError]]]:
        """Return a problem for each name and MAC that a device has and keeps. None tells which device it is.

        If the caller may be shown no more conflicts, a draft that was not compared has a problem too. The second result
        has the conflicts with what another draft gives up, by the index of that draft.
        """
        owners: dict[int, int] = {}
        for index, pk in known.items():
            owners.setdefault(pk, index)
        found = [
            (index, field, holder)
            for index, item in enumerate(self.items)
            for field in UNIQUE_MESSAGES
            if (holder := self.owners[field].get(item.get(field))) and owners.get(holder.pk) != index
        ]
        shown, end = self._show(found)
        kept, given_up = [], dict[int, list[FieldError]]()
        for index, field, holder in found:
            problem, owner = FieldError(field, UNIQUE, UNIQUE_MESSAGES[field], index), owners.get(holder.pk)
            if owner is not None and field in self.items[owner]:
                given_up.setdefault(owner, []).append(problem)
            elif holder.in_scope or (field, self.items[index].get(field)) in shown:
                kept.append(problem)
        return kept + self._find_not_compared({problem.index for problem in kept}, end), given_up

    def _show(self, found: Sequence[tuple[int, str, _Owner]]) -> tuple[set[conflict_limits.Conflict], int]:
        """Return the conflicts outside the scope that may be shown, and the index from which nothing is compared."""
        if self.actor.scope.hospitals is None:
            return set(), len(self.items)
        outside = [(index, field) for index, field, holder in found if not holder.in_scope]
        conflicts = [(field, self.items[index].get(field)) for index, field in outside]
        shown, end = conflict_limits.reveal(self.actor, conflicts)
        if end is None:
            return shown, len(self.items)
        return shown, outside[end - 1][0] + 1 if end else 0

    def _find_not_compared(self, refused: set[int | None], first: int) -> list[FieldError]:
        """Return a problem for each draft from the first on whose name or MAC no device in scope has."""
        wait = math.ceil(conflict_limits.retry_after() / 60)
        problems = []
        for index, item in enumerate(self.items[first:], start=first):
            undecided = [
                field
                for field in UNIQUE_MESSAGES
                if field in item and not ((holder := self.owners[field].get(item.get(field))) and holder.in_scope)
            ]
            if undecided and index not in refused:
                problems.append(FieldError(undecided[0], CONFLICT_LIMIT, NOT_COMPARED % {"minutes": wait}, index))
        if problems:
            conflict_limits.count_unchecked(len(problems))
        return problems
