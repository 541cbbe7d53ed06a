"""Import a fleet: many lines, each about one device, all of them or none.

`plan` finds out what each line would do, for a preview; `carry_out` does it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from devices import registry
from devices.access.actor import Actor
from devices.audit import audit_log
from devices.audit.audit_log import Action
from devices.db.transactions import atomic_with_retry, explained_by
from devices.imports.files.header import COLUMNS, ID
from devices.imports.files.spreadsheet import Row
from devices.models import MAX_ID, Device, DeviceQuerySet, Hospital
from devices.registry import device_data
from devices.registry.device_data import DeviceData
from devices.registry.validation import Existing, find_duplicates, find_problems
from devices.values.errors import FieldError, ValidationFailed, raise_error
from devices.values.hospital_names import NO_HOSPITAL, fold_name
from devices.values.scope import Scope

T = TypeVar("T")

LINES_AT_ONCE = 5_000
LONGEST_ID = len(str(MAX_ID))

REPEATED = {
    "device_name": _("Line %(line)d of the file has the same name."),
    "device_mac": _("Line %(line)d of the file has the same MAC address."),
    ID: _("Line %(line)d of the file is about the same device."),
}
NO_ID = _("This is no id: a whole number, as an export gives it. Leave it empty to register a new device.")
UNKNOWN_ID = _("There is no device with this id. Leave it empty to register a new device.")


class RowAction(models.TextChoices):
    """What a line does, or that it is wrong."""

    NEW = "new", _("New")
    CHANGED = "changed", _("Changed")
    UNCHANGED = "unchanged", _("Unchanged")
    INVALID = "invalid", _("Wrong")


Outcome = Counter[RowAction]  # the number of lines of each action


@dataclass(slots=True)
class PlannedRow:
    """A line of the file, the device in scope that it is about, and what it would do."""

    row: Row
    item: DeviceData
    problems: list[FieldError] = field(default_factory=list)  # `index` is the line's number
    device: Device | None = None
    old: dict[str, str] = field(default_factory=dict)  # the values that the device has, a hospital by its name
    action: RowAction = RowAction.INVALID

    @property
    def new(self) -> dict[str, str]:
        """The values that the device would have, a hospital by its name."""
        return {column: str(value or NO_HOSPITAL) for column, value in self.item.items()}


# On which line each value came first, by column and the value's hash: a million texts would be 100 MB more.
Seen = defaultdict[str, dict[int, int]]


def import_devices(rows: Iterable[Row], actor: Actor, *, dry_run: bool = False) -> Outcome:
    """Register the devices that are new, and give those that are known the values of their line.

    Take some thousand lines at a time, so that memory does not grow with the file, and all in one transaction. If lines
    are wrong, go on, to name them all, then roll back. Later lines are compared with the registry without a batch that
    was refused, and with names of their own batch only: a file with many wrong lines may need a second look.

    A dry run only plans, and holds no lock. It compares each line with the registry as it is, so it refuses a line that
    needs what a line more than LINES_AT_ONCE before gives up.

    Raises:
        Refused: nothing was imported; `index` of each problem is the line's number in the file.
    """
    outcome, problems, seen = Outcome(), list[FieldError](), Seen(dict)
    with nullcontext() if dry_run else transaction.atomic():
        for batch in batches(rows):
            try:
                outcome += apply_plan(make_plan(batch, actor, seen, lock=not dry_run), actor, dry_run=dry_run)
            except ValidationFailed as refused:
                problems += refused.problems
            if not dry_run:
                seen["device_name"].clear()  # the registry has these names now
        raise_error(problems)
        if not dry_run:
            record_import(outcome)
    return outcome


def record_import(outcome: Outcome) -> None:
    """Record in the audit log that a file was imported. The history has what it did to each device."""
    audit_log.record(Action.IMPORTED, **totals(outcome))


def totals(outcome: Outcome) -> dict[str, int]:
    """Return how many lines registered a device, changed one, or found it as they say."""
    return {
        "registered": outcome[RowAction.NEW],
        "changed": outcome[RowAction.CHANGED],
        "unchanged": outcome[RowAction.UNCHANGED],
    }


def make_plan(rows: Iterable[Row], actor: Actor, seen: Seen | None = None, *, lock: bool = False) -> list[PlannedRow]:
    """Find out what each line would do, in a number of queries that does not grow with the lines; write nothing.

    1. Read each line as a draft.
    2. Find the device in scope that it is about: by its id if it has one, else by its MAC. An id outside the scope
       gets the same problem as an id that no device has.
    3. Find every problem, in the same way as for a posted list. Lines before count, in earlier batches too.

    `lock` keeps others from changing these devices until the transaction ends; it needs one.
    """
    lines, malformed = list[PlannedRow](), list[FieldError]()
    for index, row in enumerate(rows):
        item, problems = _read(row)
        lines.append(PlannedRow(row, item))
        malformed += [replace(problem, index=index) for problem in problems]
    existing = Existing([line.item for line in lines], actor)
    malformed += _match(lines, existing, lock=lock)
    _resolve_hospitals(lines, actor.scope)
    duplicates = _find_duplicates(lines, Seen(dict) if seen is None else seen)
    for problem in find_problems(
        existing.items, actor, malformed=malformed, known=_ids(lines), existing=existing, duplicates=duplicates
    ):
        line = lines[problem.index or 0]
        line.problems.append(replace(problem, index=line.row.number))
    for line in lines:
        line.action = _action(line)
    return lines


@atomic_with_retry
def apply_plan(lines: Sequence[PlannedRow], actor: Actor, *, dry_run: bool = False) -> Outcome:
    """Do what the lines say, within the transaction in which they were planned with a lock.

    Raises:
        Refused: lines are wrong, or another writer was faster.
    """
    raise_error(problem for line in lines for problem in line.problems)
    outcome = Outcome(line.action for line in lines)
    if dry_run:
        return outcome
    changed = [(line.device, line.item) for line in lines if line.device and line.action == RowAction.CHANGED]
    new = [line.item for line in lines if line.action == RowAction.NEW]
    with explained_by(lambda: _find_conflicts(lines, actor)):
        if changed:
            registry.apply_changes(changed, actor)
        if new:
            registry.insert(new, actor)
    return outcome


def exported(devices: DeviceQuerySet) -> Iterator[tuple[str, ...]]:
    """Yield the cells of spreadsheets.EXPORTED of each device, by ascending id, some thousand at a time."""
    columns = ("pk", "device_name", "device_mac", "device_type", "device_holder__name")
    for pk, *values, holder in devices.order_by("pk").values_list(*columns).iterator(chunk_size=LINES_AT_ONCE):
        yield str(pk), *values, holder or NO_HOSPITAL


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(items)
    while batch := list(islice(remaining, LINES_AT_ONCE)):
        yield batch


def _read(row: Row) -> tuple[DeviceData, list[FieldError]]:
    item, problems = device_data.validate(
        {column: text for column, text in row.cells.items() if column not in row.spoilt}
    )
    problems = [problem for problem in problems if problem.field not in row.spoilt]
    return item, problems + [FieldError(column, "spoilt", spoilt.label) for column, spoilt in row.spoilt.items()]


def _match(lines: Sequence[PlannedRow], existing: Existing, *, lock: bool) -> list[FieldError]:
    """Find the device of each line; return a problem for each id that is none, or of no device in scope."""

    def load(devices: DeviceQuerySet) -> dict[int, Device]:
        if lock:
            devices = devices.select_for_update(of=("self",))
        # Not by a join: PostgreSQL would return the hospital of before with a device that it had to wait for.
        return {device.pk: device for device in devices.prefetch_related("device_holder")}

    ids = {index: _read_id(line.row.cells[ID]) for index, line in enumerate(lines) if ID in line.row.cells}
    for index, device in existing.match(ids, load).items():
        lines[index].device = device
        lines[index].old = {column: str(getattr(device, column) or NO_HOSPITAL) for column in COLUMNS}
    return [
        FieldError(ID, *(("unknown", UNKNOWN_ID) if pk else ("invalid", NO_ID)), index)
        for index, pk in ids.items()
        if not lines[index].device and ID not in lines[index].row.spoilt
    ]


def _read_id(text: str) -> int:
    """Return the id, 0 if the text is none."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= LONGEST_ID else 0
    return number if number <= MAX_ID else 0


def _ids(lines: Sequence[PlannedRow]) -> dict[int, int]:
    return {index: line.device.pk for index, line in enumerate(lines) if line.device}


def _find_duplicates(lines: Sequence[PlannedRow], seen: Seen) -> list[FieldError]:
    """Return a problem for each name, MAC and device that an earlier line has, and remember all of them."""
    columns = {column: [line.item.get(column) for line in lines] for column in ("device_name", "device_mac")}
    columns[ID] = [line.device and line.device.pk for line in lines]
    numbers = [line.row.number for line in lines]
    return [
        problem
        for column, values in columns.items()
        for problem in find_duplicates(column, values, numbers, seen[column], REPEATED[column])
    ]


def _find_conflicts(lines: Sequence[PlannedRow], actor: Actor) -> list[FieldError]:
    problems = find_problems([line.item for line in lines], actor, known=_ids(lines))
    return [replace(problem, index=lines[problem.index or 0].row.number) for problem in problems]


def new_hospitals(lines: Sequence[PlannedRow]) -> list[str]:
    """Return the names of hospitals that would be registered with these lines' devices, in order."""
    named = [line.item.get("device_holder") for line in lines if not line.problems]
    names = {fold_name(holder): holder for holder in reversed(named) if holder}  # as it is spelled first
    known = Hospital.objects.by_name(names)
    return sorted(name for folded, name in names.items() if folded not in known)


def _resolve_hospitals(lines: list[PlannedRow], scope: Scope) -> None:
    """Use each hospital's present name, and give a new device that names none the scope's only one."""
    names = {fold_name(holder) for line in lines if (holder := line.item.get("device_holder"))}
    known = Hospital.objects.in_scope(scope).by_name(names) if names else {}
    for line in lines:
        if holder := line.item.get("device_holder"):
            line.item["device_holder"] = known[fold_name(holder)].name if fold_name(holder) in known else holder
        elif line.device is None and "device_holder" not in line.row.cells and scope.default_hospital:
            line.item["device_holder"] = scope.default_hospital.name


def _action(line: PlannedRow) -> RowAction:
    if line.problems:
        return RowAction.INVALID
    if line.device is None:
        return RowAction.NEW
    return RowAction.UNCHANGED if line.new.items() <= line.old.items() else RowAction.CHANGED
