"""Register a list of devices item by item (mode=partial), and update those that are known by their MAC (upsert)."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from devices import registry
from devices.access.actor import Actor
from devices.db.transactions import ATTEMPTS, atomic_with_retry, explained_by
from devices.models import Device
from devices.registry.device_data import DeviceData
from devices.registry.validation import Existing, find_problems
from devices.values.errors import CONFLICT_LIMIT, DUPLICATE, UNIQUE, FieldError, raise_error

CREATED, UPDATED, UNCHANGED = "created", "updated", "unchanged"
CONFLICT, INVALID, LIMITED = "conflict", "invalid", "limited"
STATUSES = (CREATED, UPDATED, UNCHANGED, CONFLICT, INVALID, LIMITED)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one item: the device, or the problems for which there is none."""

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
    """Register the devices, and return what became of each in the order of the drafts.

    With `update`, a draft whose MAC is that of a device in scope gives that device its values. With `partial`, items
    that are wrong are left out: of two that are the same, the first that is right stays. Without, one that is wrong
    refuses all.

    Raises:
        Refused: something is wrong (not `partial`), or other writers were faster each time.
    """
    modes = {"partial": partial, "update": update, "dry_run": dry_run}
    for _attempts in range(ATTEMPTS - 1):
        with suppress(IntegrityError):  # another writer was faster: the next attempt knows what it wrote
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
    wrong: dict[int, list[FieldError]] = {}
    for problem in problems:
        wrong.setdefault(problem.index or 0, []).append(problem)
    changes = [(devices[index], items[index]) for index in devices if index not in wrong]
    new = [index for index in range(len(items)) if index not in devices and index not in wrong]
    explained = explained_by(lambda: find_problems(items, actor, malformed=malformed, known=known))
    with explained, nullcontext() if dry_run else transaction.atomic():
        changed = {device.pk for device in registry.apply_changes(changes, actor, dry_run=dry_run)}
        added = registry.insert([items[index] for index in new], actor, dry_run=dry_run).devices() if new else []
    results = {index: Result(UPDATED if row.pk in changed else UNCHANGED, row) for index, row in devices.items()}
    results |= {index: Result(CREATED, row) for index, row in zip(new, added, strict=True)}
    results |= {index: Result(_status(problems), problems=problems) for index, problems in wrong.items()}
    return [results[index] for index in range(len(items))]


def _status(problems: Iterable[FieldError]) -> str:
    codes = {problem.code for problem in problems}
    if codes == {CONFLICT_LIMIT}:
        return LIMITED
    return CONFLICT if codes <= {UNIQUE, DUPLICATE} else INVALID
