"""Register a list of devices item by item (`mode=partial`), or update known devices (`on_conflict=update`, upsert)."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from devices import registry
from devices.access.actor import Actor
from devices.db.transactions import ATTEMPTS, atomic_with_retry, explained_by
from devices.models import Device
from devices.registry.device_fields import DeviceData
from devices.registry.validation import Existing, find_problems
from devices.values.errors import CONFLICT_LIMIT, DUPLICATE, UNIQUE, FieldError, raise_error

CREATED, UPDATED, UNCHANGED = "created", "updated", "unchanged"
CONFLICT, INVALID, LIMITED = "conflict", "invalid", "limited"
STATUSES = (CREATED, UPDATED, UNCHANGED, CONFLICT, INVALID, LIMITED)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one item: one of STATUSES, with the device, or the problems because of which there is none."""

    status: str
    device: Device | None = None
    problems: Sequence[FieldError] = ()


@atomic_with_retry
def register_individually(
    items: Sequence[DeviceData],
    malformed: Sequence[FieldError],
    actor: Actor,
    *,
    partial: bool,
    update: bool,
    dry_run: bool = False,
) -> list[Result]:
    """Register the devices, and return a result for each item, in order.

    malformed: the problems that `device_fields.validate` has found in the items.
    update: if a device in scope has the MAC address of an item, update that device.
    partial: skip invalid items. Of two items with the same name or MAC address, the first valid one is registered.
        Without `partial`, one invalid item is enough to reject all.
    dry_run: return the same results, but write and lock nothing.

    Raises:
        ValidationFailed: an item is invalid (without `partial`), or other writers were faster in all attempts.
    """
    modes = {"partial": partial, "update": update, "dry_run": dry_run}
    for _attempts in range(ATTEMPTS - 1):
        with suppress(IntegrityError):  # another writer was faster: the next attempt sees its rows
            return _register_individually(items, malformed, actor, **modes)
    return _register_individually(items, malformed, actor, **modes)


def _register_individually(
    items: Sequence[DeviceData],
    malformed: Sequence[FieldError],
    actor: Actor,
    *,
    partial: bool,
    update: bool,
    dry_run: bool,
) -> list[Result]:
    existing = Existing(items, actor)
    devices = existing.match({}, lambda found: found.with_hospitals(lock=not dry_run).in_bulk()) if update else {}
    known = {index: device.pk for index, device in devices.items()}
    problems = find_problems(items, actor, malformed=malformed, known=known, existing=existing, is_partial=partial)
    if not partial:
        raise_error(problems)
    invalid: dict[int, list[FieldError]] = {}
    for problem in problems:
        invalid.setdefault(problem.index or 0, []).append(problem)
    changes = [(devices[index], items[index]) for index in devices if index not in invalid]
    new = [index for index in range(len(items)) if index not in devices and index not in invalid]
    explained = explained_by(lambda: find_problems(items, actor, malformed=malformed, known=known))
    with explained, nullcontext() if dry_run else transaction.atomic():
        changed = {device.pk for device in registry.apply_changes(changes, actor, dry_run=dry_run)}
        added = registry.insert([items[index] for index in new], actor, dry_run=dry_run).devices() if new else []
    results = {index: Result(UPDATED if row.pk in changed else UNCHANGED, row) for index, row in devices.items()}
    results |= {index: Result(CREATED, row) for index, row in zip(new, added, strict=True)}
    results |= {index: Result(_status(problems), problems=problems) for index, problems in invalid.items()}
    return [results[index] for index in range(len(items))]


def _status(problems: Iterable[FieldError]) -> str:
    """Return the status of an item with these problems."""
    codes = {problem.code for problem in problems}
    if codes == {CONFLICT_LIMIT}:
        return LIMITED
    return CONFLICT if codes <= {UNIQUE, DUPLICATE} else INVALID
