"""Register a list of devices item by item (mode=partial), and update those that are known by their MAC (upsert)."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from devices import registry
from devices.drafts import Draft
from devices.models import Device, DeviceQuerySet
from devices.origin import Origin
from devices.problems import CONFLICT_LIMIT, DUPLICATE, UNIQUE, Problem, refuse
from devices.transactions import ATTEMPTS, explained_by, in_one_transaction
from devices.validation import Existing, find_problems

CREATED, UPDATED, UNCHANGED = "created", "updated", "unchanged"
CONFLICT, INVALID, LIMITED = "conflict", "invalid", "limited"
STATUSES = (CREATED, UPDATED, UNCHANGED, CONFLICT, INVALID, LIMITED)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one item: the device, or the problems for which there is none."""

    status: str
    device: Device | None = None
    problems: Sequence[Problem] = ()


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which items change a device, which are new, and which are wrong, by index."""

    known: dict[int, int]
    changes: dict[int, tuple[Device, Draft]]
    new: dict[int, Draft]
    wrong: dict[int, list[Problem]]

    def carry_out(self, origin: Origin, *, dry_run: bool) -> list[Result]:
        """Return the result of each item, in the order of the list."""
        changed = {device.pk for device in registry.change(list(self.changes.values()), origin, dry_run=dry_run)}
        new = list(self.new.values())
        devices = registry.insert(new, origin, dry_run=dry_run).devices() if new else []
        results = {index: Result(_status(problems), problems=problems) for index, problems in self.wrong.items()}
        results |= {index: Result(CREATED, device) for index, device in zip(self.new, devices, strict=True)}
        for index, (device, _draft) in self.changes.items():
            results[index] = Result(UPDATED if device.pk in changed else UNCHANGED, device)
        return [results[index] for index in sorted(results)]


@in_one_transaction
def register_each(
    drafts: Sequence[Draft],
    malformed: Sequence[Problem],
    origin: Origin,
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

    def attempt() -> list[Result]:
        plan = _plan(drafts, malformed, origin, partial=partial, update=update, lock=not dry_run)
        if dry_run:
            return plan.carry_out(origin, dry_run=True)
        explained = explained_by(lambda: find_problems(drafts, origin, malformed=malformed, known=plan.known))
        with explained, transaction.atomic():
            return plan.carry_out(origin, dry_run=False)

    for _attempt in range(ATTEMPTS - 1):
        with suppress(IntegrityError):  # another writer was faster: the next plan knows what it wrote
            return attempt()
    return attempt()


def _plan(
    drafts: Sequence[Draft], malformed: Sequence[Problem], origin: Origin, *, partial: bool, update: bool, lock: bool
) -> _Plan:
    existing = Existing(drafts, origin)
    known = existing.match({}, lambda devices: _load(devices, lock=lock)) if update else {}
    ids = {index: device.pk for index, device in known.items()}
    problems = find_problems(drafts, origin, malformed=malformed, known=ids, existing=existing, is_partial=partial)
    if not partial:
        refuse(problems)
    wrong: dict[int, list[Problem]] = {}
    for problem in problems:
        wrong.setdefault(problem.index or 0, []).append(problem)
    right = {index: draft for index, draft in enumerate(drafts) if index not in wrong}
    changes = {index: (known[index], draft) for index, draft in right.items() if index in known}
    return _Plan(ids, changes, {index: draft for index, draft in right.items() if index not in known}, wrong)


def _load(devices: DeviceQuerySet, *, lock: bool) -> dict[int, Device]:
    """Return the devices with their hospitals, by id."""
    if lock:  # In two statements: PostgreSQL would return the hospital of before with a device that it had to wait for.
        devices = devices.select_for_update(of=("self",)).prefetch_related("device_holder")
    else:  # In one: the hospital may be merged before a second one.
        devices = devices.select_related("device_holder")
    return {device.pk: device for device in devices}


def _status(problems: Iterable[Problem]) -> str:
    codes = {problem.code for problem in problems}
    if codes == {CONFLICT_LIMIT}:
        return LIMITED
    return CONFLICT if codes <= {UNIQUE, DUPLICATE} else INVALID
