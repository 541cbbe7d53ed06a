"""Find all problems of a list of devices.

`find_problems` validates what is registered, updated or restored: POST in all modes, PUT, PATCH, dry runs, the form of
the admin, and imports. A transfer checks only the scope of the new hospital (hospital_checks.py).

This module also applies the limit of conflicts with devices out of scope (conflict_limits.py). When the limit is
reached, the following items of the list are not compared with devices out of scope. They all get the same error.
Otherwise an error for a conflict, and success without one, would disclose the same as the conflict.
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
from devices.models import Device, DeviceQuerySet
from devices.registry import hospital_checks
from devices.registry.device_fields import DeviceData
from devices.registry.hospital_checks import Known
from devices.values.errors import CONFLICT_LIMIT, DUPLICATE, UNIQUE, FieldError

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
    """Return every problem, sorted by index. The order within an item is: fields, duplicates, hospital, conflicts.

    malformed: the problems that `device_fields.validate` has found in the items.
    known: the devices that items update. They can keep their name and MAC address, or release them to another item.
    existing: the registered devices with a name or MAC address of the items, if the caller has looked them up.
    is_write: the database's constraints will find conflicts. So devices are looked up only if there are other problems,
        or if no more conflicts may be shown to the actor, because success also discloses that there is no conflict.
    is_partial: items with a problem will be skipped.
    duplicates: the duplicates of the list, if the caller has found them with other numbers than the indexes.
    """
    known = known or {}
    of_hospitals = hospital_checks.find_hospital_problems(items, actor, known, malformed)
    if duplicates is None:
        duplicates = [] if is_partial else _find_all_duplicates(items)
    if is_write and not (malformed or of_hospitals or duplicates or conflict_limits.is_exhausted(actor)):
        return []
    conflicts, released = (existing or Existing(items, actor)).find_conflicts(known)
    if is_partial:
        invalid = {problem.index or 0 for problem in [*malformed, *of_hospitals, *conflicts]}
        duplicates = _find_duplicates_of_valid(items, invalid)
        conflicts += _find_not_released(released, invalid)
    return sorted([*malformed, *duplicates, *of_hospitals, *conflicts], key=lambda problem: problem.index or 0)


def find_duplicates(
    field: str, values: Iterable[object], numbers: Iterable[int], first: dict[int, int], message: Promise
) -> list[FieldError]:
    """Return a problem for each value that an earlier item has. None is ignored.

    field, message: the field of the problems, and their text with the placeholder `index`.
    numbers: the number of each item in the message.
    first: the number of the first item with a value, by the hash of the value. The function adds new values, so a long
        list can be checked in several parts.
    """
    return [
        FieldError(field, DUPLICATE, message % {"index": earlier, "line": earlier}, index)
        for index, (value, number) in enumerate(zip(values, numbers, strict=True))
        if value is not None and (earlier := first.setdefault(hash(value), number)) != number
    ]


def _find_all_duplicates(items: Sequence[DeviceData]) -> list[FieldError]:
    """Return a problem for each name and MAC address that an earlier item has."""
    problems = []
    for field, message in DUPLICATE_MESSAGES.items():
        values = [item.get(field) for item in items]
        if len(set(values)) < len(values):
            problems += find_duplicates(field, values, range(len(values)), {}, message)
    return problems


def _find_duplicates_of_valid(items: Sequence[DeviceData], invalid: set[int]) -> list[FieldError]:
    """Return a problem for each name and MAC address that an earlier valid item has. Add the items to `invalid`."""
    problems, first = [], dict[tuple[str, object], int]()
    for index, item in enumerate(items):
        if index in invalid:
            continue
        values = [(field, item.get(field)) for field in DUPLICATE_MESSAGES]
        if found := [value for value in values if value in first]:
            invalid.add(index)
            problems += [
                FieldError(value[0], DUPLICATE, DUPLICATE_MESSAGES[value[0]] % {"index": first[value]}, index)
                for value in found
            ]
        else:
            first |= dict.fromkeys(values, index)
    return problems


def _find_not_released(released: Mapping[int, Sequence[FieldError]], invalid: set[int]) -> list[FieldError]:
    """Return the conflicts with names and MAC addresses that invalid items will not release.

    released: the conflicts that exist only if an item is invalid, by the index of that item.
    invalid: the indexes of invalid items. An item with a returned conflict is added, and then releases nothing either.
    """
    problems, pending = [], list(invalid)
    while pending:
        for problem in released.get(pending.pop(), ()):
            if problem.index not in invalid:
                invalid.add(problem.index or 0)
                pending.append(problem.index or 0)
                problems.append(problem)
    return problems


class _Owner(NamedTuple):
    """The registered device that has a certain name or MAC address."""

    pk: int
    in_scope: bool


def _values(items: Sequence[DeviceData], field: str) -> list[str]:
    return [item[field] for item in items if field in item]  # type: ignore[literal-required]


class Existing:
    """The registered devices that have a name or MAC address of these items. The look-up is lazy."""

    def __init__(self, items: Sequence[DeviceData], actor: Actor) -> None:
        self.items = items
        self.actor = actor

    @cached_property
    def owners(self) -> Mapping[str, Mapping[object, _Owner]]:
        """The registered devices, by field and then by value. One query finds them."""
        columns = ("pk", "device_holder_id", *UNIQUE_MESSAGES)
        by_name, by_mac = (
            Device.objects.filter(**{f"{field}__in": expressions.in_texts(_values(self.items, field))})
            for field in UNIQUE_MESSAGES
        )
        owners: dict[str, dict[object, _Owner]] = {field: {} for field in UNIQUE_MESSAGES}
        for pk, hospital, *values in by_name.values_list(*columns).union(by_mac.values_list(*columns)):
            owner = _Owner(pk, self.actor.scope.allows(hospital))
            for field, value in zip(UNIQUE_MESSAGES, values, strict=True):
                owners[field][value] = owner
        return owners

    def match(self, ids: Mapping[int, int], load: Callable[[DeviceQuerySet], Mapping[int, Any]]) -> dict[int, Any]:
        """Return the registered device that each item updates, by the index of the item. New devices are omitted.

        ids: the ids of devices, by index. An item without an id is matched by its MAC address.
        load: returns the devices of a query set by id, and locks them if the caller will write them.

        Devices out of scope are not matched.
        """
        by_mac = self.owners["device_mac"]
        wanted = {
            index: owner.pk
            for index, item in enumerate(self.items)
            if (owner := by_mac.get(item.get("device_mac"))) and owner.in_scope
        }
        wanted |= ids
        devices = Device.objects.in_scope(self.actor.scope).filter(
            pk__in=expressions.in_ids(sorted(set(wanted.values())))
        )
        loaded = load(devices.order_by("pk")) if wanted else {}
        matched = {
            index: loaded[pk]
            for index, pk in sorted(wanted.items())
            if pk in loaded and (index in ids or loaded[pk].device_mac == self.items[index]["device_mac"])
        }
        if len(matched) < len(wanted):  # another writer has changed a device in the meantime: look them up again
            del self.owners
        return matched

    def find_conflicts(self, known: Known) -> tuple[list[FieldError], dict[int, list[FieldError]]]:
        """Return the conflicts with registered devices, in two parts. No problem discloses the other device.

        1. A problem for each name and MAC address that another device has and keeps. If the actor's limit of conflicts
           is reached, this includes a problem for each item that was not compared.
        2. The conflicts with a name or MAC address that another item releases, by the index of that item.
        """
        updates: dict[int, int] = {}  # the index of the item that updates a device, by the device's id
        for index, pk in known.items():
            updates.setdefault(pk, index)
        found = [
            (index, field, owner)
            for index, item in enumerate(self.items)
            for field in UNIQUE_MESSAGES
            if (owner := self.owners[field].get(item.get(field))) and updates.get(owner.pk) != index
        ]
        shown, end = self._reveal(found)
        conflicts, released = [], dict[int, list[FieldError]]()
        for index, field, owner in found:
            problem, other = FieldError(field, UNIQUE, UNIQUE_MESSAGES[field], index), updates.get(owner.pk)
            if other is not None and field in self.items[other]:
                released.setdefault(other, []).append(problem)
            elif owner.in_scope or (field, self.items[index].get(field)) in shown:
                conflicts.append(problem)
        return conflicts + self._find_not_compared({problem.index for problem in conflicts}, end), released

    def _reveal(self, found: Sequence[tuple[int, str, _Owner]]) -> tuple[set[conflict_limits.Conflict], int]:
        """Return the conflicts out of scope that may be shown, and the index from which items are not compared."""
        if self.actor.scope.hospitals is None:
            return set(), len(self.items)
        outside = [(index, field) for index, field, owner in found if not owner.in_scope]
        conflicts = [(field, self.items[index].get(field)) for index, field in outside]
        shown, end = conflict_limits.reveal(self.actor, conflicts)
        if end is None:
            return shown, len(self.items)
        return shown, outside[end - 1][0] + 1 if end else 0

    def _find_not_compared(self, rejected: set[int | None], first: int) -> list[FieldError]:
        """Return a problem for each item from the index `first` on that must not be compared with devices out of scope.

        Items in `rejected` have a problem already. Values of devices in scope need no comparison.
        """
        wait = math.ceil(conflict_limits.retry_after() / 60)
        problems = []
        for index, item in enumerate(self.items[first:], start=first):
            undecided = [
                field
                for field in UNIQUE_MESSAGES
                if field in item and not ((owner := self.owners[field].get(item.get(field))) and owner.in_scope)
            ]
            if undecided and index not in rejected:
                problems.append(FieldError(undecided[0], CONFLICT_LIMIT, NOT_COMPARED % {"minutes": wait}, index))
        if problems:
            conflict_limits.count_unchecked(len(problems))
        return problems
