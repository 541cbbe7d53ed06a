"""Import a file of devices: one device in each row, all rows or none.

`make_plan` finds what each row would do, for a preview. `apply_plan` does it.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
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
from devices.imports import row_fields
from devices.imports.files.header import COLUMNS, ID
from devices.imports.files.sheet_rows import NumberInSheet
from devices.imports.files.spreadsheet import Row
from devices.models import MAX_ID, Device, DeviceQuerySet, Hospital
from devices.registry import device_fields
from devices.registry.device_fields import DeviceData
from devices.registry.validation import Existing, find_duplicates, find_problems
from devices.values.error_codes import AdminErrorCode, ErrorCode
from devices.values.errors import FieldError, ValidationFailed, raise_error
from devices.values.hospital_names import NO_HOSPITAL, fold_name
from devices.values.scope import Scope

T = TypeVar("T")

BATCH_SIZE = 5_000  # rows
MAX_ID_DIGITS = len(str(MAX_ID))
# Programs write 7 as 7.0, 7,00 or 7E0. With three zeros it is ambiguous: 7.000 is 7,000 in Indonesia.
_ID = re.compile(rf"([0-9]{{1,{MAX_ID_DIGITS}}})(?:[.,]0{{1,2}})?(?:E[+-]?0{{1,2}})?", re.IGNORECASE)

DUPLICATE_MESSAGES = {
    "device_name": _("Row %(index)d of the file has the same name."),
    "device_mac": _("Row %(index)d of the file has the same MAC address."),
    ID: _("Row %(index)d of the file is about the same device."),
}
DUPLICATE_MESSAGES_OF_SHEETS = {  # `line` is the text of a NumberInSheet
    "device_name": _("The same name is in %(line)s."),
    "device_mac": _("The same MAC address is in %(line)s."),
    ID: _("The same device is in %(line)s."),
}
INVALID_ID = _("Invalid ID. Use the ID from an export, or leave the cell empty to register a new device.")
UNKNOWN_ID = _("No device has this ID. Leave the cell empty to register a new device.")


class RowAction(models.TextChoices):
    """The effect of a row."""

    NEW = "new", _("New")
    CHANGED = "changed", _("Changed")
    UNCHANGED = "unchanged", _("Unchanged")
    INVALID = "invalid", _("Invalid")


Outcome = Counter[RowAction]  # the number of rows of each action


@dataclass(slots=True)
class PlannedRow:
    """A row of the file, the device in scope that it matches, and what it would do."""

    source: Row
    item: DeviceData
    problems: list[FieldError] = field(default_factory=list)  # `index` is the row's number
    device: Device | None = None
    old: dict[str, str] = field(default_factory=dict)  # the device's current values; a hospital as its name
    action: RowAction = RowAction.INVALID

    @property
    def new(self) -> dict[str, str]:
        """The values that the device would have; a hospital as its name."""
        return {column: str(value or NO_HOSPITAL) for column, value in self.item.items()}


class NewHospitals(Exception):
    """Nothing was imported, because the file has hospitals that are not registered: `names`, sorted."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(names)
        super().__init__(", ".join(self.names))


# The first row of each value, by column and the value's hash: a million strings would take 100 MB more.
Seen = defaultdict[str, dict[int, int]]


def import_devices(
    rows: Iterable[Row],
    actor: Actor,
    *,
    dry_run: bool = False,
    may_register: Callable[[Collection[str]], bool] = lambda _names: True,
) -> Outcome:
    """Register the devices that are new, and update the others with the values of their rows.

    Work in batches, so that memory does not grow with the file, and in one transaction. After an invalid row, continue
    to find all errors, then roll back. Later rows are then compared with the registry without the rejected batch, and
    with the names in the same batch only. So a file with many errors may show further errors in a second import.

    A dry run only plans, and takes no locks. It compares each row with the registry as it is. So it rejects a row that
    needs a value which a row more than BATCH_SIZE before would release.

    may_register: returns whether the import can register hospitals with these names. It is called once, at the end, if
        there are any and no row is invalid.

    Raises:
        ValidationFailed: nothing was imported. `index` of each error is the row's number in the file.
        NewHospitals: nothing was imported, because `may_register` returned False.
    """
    outcome, problems, seen, hospitals = Outcome(), list[FieldError](), Seen(dict), dict[str, str]()
    with nullcontext() if dry_run else transaction.atomic():
        for batch in batches(rows):
            try:
                planned = make_plan(batch, actor, seen, lock=not dry_run)
                hospitals = {fold_name(name): name for name in new_hospitals(planned)} | hospitals
                outcome += apply_plan(planned, actor, dry_run=dry_run)
            except ValidationFailed as failure:
                problems += failure.problems
            if not dry_run:
                seen["device_name"].clear()  # the database has these names now
        raise_error(problems)
        if hospitals and not may_register(hospitals.values()):
            raise NewHospitals(hospitals.values())
        if not dry_run:
            record_import(outcome)
    return outcome


def record_import(outcome: Outcome) -> None:
    """Record the import of a file in the audit log. The history has the change of each device."""
    audit_log.record(Action.IMPORTED, **totals(outcome))


def totals(outcome: Outcome) -> dict[str, int]:
    """Return the numbers of rows that registered a device, changed one, or changed nothing."""
    return {
        "registered": outcome[RowAction.NEW],
        "changed": outcome[RowAction.CHANGED],
        "unchanged": outcome[RowAction.UNCHANGED],
    }


def make_plan(rows: Iterable[Row], actor: Actor, seen: Seen | None = None, *, lock: bool = False) -> list[PlannedRow]:
    """Return what each row would do. Write nothing. The number of queries does not depend on the number of rows.

    1. Validate each row.
    2. Find the device in scope that it matches: by its ID if it has one, otherwise by its MAC. An ID outside the scope
       gets the same error as an ID that no device has.
    3. Find all errors, in the same way as for an array in a request. Earlier rows count, also those of earlier batches.

    `lock` locks the matched devices until the transaction ends; it needs a transaction.
    """
    planned, malformed = list[PlannedRow](), list[FieldError]()
    for index, row in enumerate(rows):
        item, problems = _validate(row)
        planned.append(PlannedRow(row, item))
        malformed += [replace(problem, index=index) for problem in problems]
    existing = Existing([row.item for row in planned], actor)
    malformed += _match(planned, existing, lock=lock)
    _resolve_hospitals(planned, actor.scope)
    duplicates = _find_duplicates(planned, Seen(dict) if seen is None else seen)
    for problem in find_problems(
        existing.items, actor, malformed=malformed, known=_ids(planned), existing=existing, duplicates=duplicates
    ):
        row_with_error = planned[problem.index or 0]
        row_with_error.problems.append(replace(problem, index=row_with_error.source.number))
    for planned_row in planned:
        planned_row.action = _action(planned_row)
    return planned


@atomic_with_retry
def apply_plan(rows: Sequence[PlannedRow], actor: Actor, *, dry_run: bool = False) -> Outcome:
    """Do what the rows plan, in the transaction in which they were planned with a lock.

    Raises:
        ValidationFailed: rows are invalid, or another client has written a value first.
    """
    raise_error(problem for row in rows for problem in row.problems)
    outcome = Outcome(row.action for row in rows)
    if dry_run:
        return outcome
    changed = [(row.device, row.item) for row in rows if row.device and row.action == RowAction.CHANGED]
    new = [row.item for row in rows if row.action == RowAction.NEW]
    with explained_by(lambda: _find_conflicts(rows, actor)):
        if changed:
            registry.apply_changes(changed, actor)
        if new:
            registry.insert(new, actor)
    return outcome


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(items)
    while batch := list(islice(remaining, BATCH_SIZE)):
        yield batch


def _validate(row: Row) -> tuple[DeviceData, list[FieldError]]:
    item, problems = row_fields.validate(
        {column: text for column, text in row.cells.items() if column not in row.conversions}
    )
    problems = [problem for problem in problems if problem.field not in row.conversions]
    return item, problems + [
        FieldError(column, AdminErrorCode.CONVERTED, conversion.label) for column, conversion in row.conversions.items()
    ]


def _match(rows: Sequence[PlannedRow], existing: Existing, *, lock: bool) -> list[FieldError]:
    """Set the device of each row. Return an error for each ID that is invalid or that no device in scope has."""

    def load(devices: DeviceQuerySet) -> dict[int, Device]:
        if lock:
            devices = devices.select_for_update(of=("self",))
        # No join: after waiting for a lock, PostgreSQL would return the device with its previous hospital.
        return {device.pk: device for device in devices.prefetch_related("device_holder")}

    ids = {index: _parse_id(row.source.cells[ID]) for index, row in enumerate(rows) if ID in row.source.cells}
    for index, device in existing.match(ids, load).items():
        rows[index].device = device
        rows[index].old = {column: str(getattr(device, column) or NO_HOSPITAL) for column in COLUMNS}
    return [
        FieldError(
            ID, AdminErrorCode.UNKNOWN_ID if pk else ErrorCode.INVALID_ID, UNKNOWN_ID if pk else INVALID_ID, index
        )
        for index, pk in ids.items()
        if not rows[index].device and ID not in rows[index].source.conversions
    ]


def _parse_id(text: str) -> int:
    """Return the id, or 0 if the text is not an id."""
    digits = _ID.fullmatch(text)
    number = int(digits[1]) if digits else 0
    return number if number <= MAX_ID else 0


def _ids(rows: Sequence[PlannedRow]) -> dict[int, int]:
    return {index: row.device.pk for index, row in enumerate(rows) if row.device}


def _find_duplicates(rows: Sequence[PlannedRow], seen: Seen) -> list[FieldError]:
    """Return an error for each name, MAC and device that an earlier row has, and add all of them to `seen`."""
    columns = {column: [row.item.get(column) for row in rows] for column in ("device_name", "device_mac")}
    columns[ID] = [row.device and row.device.pk for row in rows]
    numbers = [row.source.number for row in rows]
    of_sheets = any(isinstance(number, NumberInSheet) for number in numbers)
    messages = DUPLICATE_MESSAGES_OF_SHEETS if of_sheets else DUPLICATE_MESSAGES
    return [
        problem
        for column, values in columns.items()
        for problem in find_duplicates(column, values, numbers, seen[column], messages[column])
    ]


def _find_conflicts(rows: Sequence[PlannedRow], actor: Actor) -> list[FieldError]:
    problems = find_problems([row.item for row in rows], actor, known=_ids(rows))
    return [replace(problem, index=rows[problem.index or 0].source.number) for problem in problems]


def new_hospitals(rows: Sequence[PlannedRow]) -> list[str]:
    """Return the names of the hospitals that these rows would register, sorted."""
    hospitals = [row.item.get("device_holder") for row in rows if not row.problems]
    names = {fold_name(name): name for name in reversed(hospitals) if name}  # as the first row writes them
    known = Hospital.objects.by_name(names)
    return sorted(name for folded, name in names.items() if folded not in known)


def _resolve_hospitals(rows: list[PlannedRow], scope: Scope) -> None:
    """Use the current name of each hospital. A new device without one gets the only hospital of the scope."""
    names = {fold_name(name) for row in rows if (name := row.item.get("device_holder"))}
    known = Hospital.objects.in_scope(scope).by_name(names) if names else {}
    for row in rows:
        if name := row.item.get("device_holder"):
            row.item["device_holder"] = known[fold_name(name)].name if fold_name(name) in known else name
        elif row.device is None and _names_no_hospital(row) and scope.default_hospital:
            row.item["device_holder"] = scope.default_hospital.name


def _names_no_hospital(row: PlannedRow) -> bool:
    """Return whether the cell of the hospital is empty, or has a text that means nothing."""
    return "device_holder" not in row.item and device_fields.counts_as_omitted(row.source.cells.get("device_holder"))


def _action(row: PlannedRow) -> RowAction:
    if row.problems:
        return RowAction.INVALID
    if row.device is None:
        return RowAction.NEW
    return RowAction.UNCHANGED if row.new.items() <= row.old.items() else RowAction.CHANGED
