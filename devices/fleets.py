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

from devices import audit, drafts, registry
from devices.audit import What
from devices.drafts import UNKNOWN, Draft, fold
from devices.headings import COLUMNS, ID
from devices.models import MAX_ID, Device, DeviceQuerySet, Hospital
from devices.origin import Origin
from devices.problems import Problem, Refused, refuse
from devices.reach import Reach
from devices.spreadsheets import Row
from devices.transactions import explained_by, in_one_transaction
from devices.validation import Existing, find_problems, find_repeated

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


class Kind(models.TextChoices):
    """What a line does, or that it is wrong."""

    NEW = "new", _("New")
    CHANGED = "changed", _("Changed")
    UNCHANGED = "unchanged", _("Unchanged")
    WRONG = "wrong", _("Wrong")


Outcome = Counter[Kind]  # the number of lines of each kind


@dataclass(slots=True)
class Line:
    """A line of the file, the device in scope that it is about, and what it would do."""

    row: Row
    draft: Draft
    problems: list[Problem] = field(default_factory=list)  # `index` is the line's number
    device: Device | None = None
    old: dict[str, str] = field(default_factory=dict)  # the values that the device has, a hospital by its name
    kind: Kind = Kind.WRONG

    @property
    def new(self) -> dict[str, str]:
        """The values that the device would have, a hospital by its name."""
        return {column: str(value or UNKNOWN) for column, value in self.draft.items()}


# On which line each value came first, by column and the value's hash: a million texts would be 100 MB more.
Seen = defaultdict[str, dict[int, int]]


def import_fleet(rows: Iterable[Row], origin: Origin, *, dry_run: bool = False) -> Outcome:
    """Register the devices that are new, and give those that are known the values of their line.

    Take some thousand lines at a time, so that memory does not grow with the file, and all in one transaction. If lines
    are wrong, go on, to name them all, then roll back. Later lines are compared with the registry without a batch that
    was refused, and with names of their own batch only: a file with many wrong lines may need a second look.

    A dry run only plans, and holds no lock. It compares each line with the registry as it is, so it refuses a line that
    needs what a line more than LINES_AT_ONCE before gives up.

    Raises:
        Refused: nothing was imported; `index` of each problem is the line's number in the file.
    """
    outcome, problems, seen = Outcome(), list[Problem](), Seen(dict)
    with nullcontext() if dry_run else transaction.atomic():
        for batch in batches(rows):
            try:
                outcome += carry_out(plan(batch, origin, seen, lock=not dry_run), origin, dry_run=dry_run)
            except Refused as refused:
                problems += refused.problems
            if not dry_run:
                seen["device_name"].clear()  # the registry has these names now
        refuse(problems)
        if not dry_run:
            note(outcome)
    return outcome


def note(outcome: Outcome) -> None:
    """Record in the audit log that a file was imported. The history has what it did to each device."""
    audit.note(What.IMPORTED, **totals(outcome))


def totals(outcome: Outcome) -> dict[str, int]:
    """Return how many lines registered a device, changed one, or found it as they say."""
    return {"registered": outcome[Kind.NEW], "changed": outcome[Kind.CHANGED], "unchanged": outcome[Kind.UNCHANGED]}


def plan(rows: Iterable[Row], origin: Origin, seen: Seen | None = None, *, lock: bool = False) -> list[Line]:
    """Find out what each line would do, in a number of queries that does not grow with the lines; write nothing.

    1. Read each line as a draft.
    2. Find the device in scope that it is about: by its id if it has one, else by its MAC. An id outside the scope
       gets the same problem as an id that no device has.
    3. Find every problem, in the same way as for a posted list. Lines before count, in earlier batches too.

    `lock` keeps others from changing these devices until the transaction ends; it needs one.
    """
    lines, malformed = list[Line](), list[Problem]()
    for index, row in enumerate(rows):
        draft, problems = _read(row)
        lines.append(Line(row, draft))
        malformed += [replace(problem, index=index) for problem in problems]
    existing = Existing([line.draft for line in lines], origin)
    malformed += _match(lines, existing, lock=lock)
    _name_holders(lines, origin.reach)
    repeated = _find_repeated(lines, Seen(dict) if seen is None else seen)
    for problem in find_problems(
        existing.drafts, origin, malformed=malformed, known=_ids(lines), existing=existing, repeated=repeated
    ):
        line = lines[problem.index or 0]
        line.problems.append(replace(problem, index=line.row.number))
    for line in lines:
        line.kind = _kind(line)
    return lines


@in_one_transaction
def carry_out(lines: Sequence[Line], origin: Origin, *, dry_run: bool = False) -> Outcome:
    """Do what the lines say, within the transaction in which they were planned with a lock.

    Raises:
        Refused: lines are wrong, or another writer was faster.
    """
    refuse(problem for line in lines for problem in line.problems)
    outcome = Outcome(line.kind for line in lines)
    if dry_run:
        return outcome
    changed = [(line.device, line.draft) for line in lines if line.device and line.kind == Kind.CHANGED]
    new = [line.draft for line in lines if line.kind == Kind.NEW]
    with explained_by(lambda: _find_conflicts(lines, origin)):
        if changed:
            registry.change(changed, origin)
        if new:
            registry.insert(new, origin)
    return outcome


def exported(devices: DeviceQuerySet) -> Iterator[tuple[str, ...]]:
    """Yield the cells of spreadsheets.EXPORTED of each device, by ascending id, some thousand at a time."""
    columns = ("pk", "device_name", "device_mac", "device_type", "device_holder__name")
    for pk, *values, holder in devices.order_by("pk").values_list(*columns).iterator(chunk_size=LINES_AT_ONCE):
        yield str(pk), *values, holder or UNKNOWN


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(items)
    while batch := list(islice(remaining, LINES_AT_ONCE)):
        yield batch


def _read(row: Row) -> tuple[Draft, list[Problem]]:
    draft, problems = drafts.read({column: text for column, text in row.cells.items() if column not in row.spoilt})
    problems = [problem for problem in problems if problem.field not in row.spoilt]
    return draft, problems + [Problem(column, "spoilt", spoilt.label) for column, spoilt in row.spoilt.items()]


def _match(lines: Sequence[Line], existing: Existing, *, lock: bool) -> list[Problem]:
    """Find the device of each line; return a problem for each id that is none, or of no device in scope."""

    def load(devices: DeviceQuerySet) -> dict[int, Device]:
        if lock:
            devices = devices.select_for_update(of=("self",))
        # Not by a join: PostgreSQL would return the hospital of before with a device that it had to wait for.
        return {device.pk: device for device in devices.prefetch_related("device_holder")}

    ids = {index: _read_id(line.row.cells[ID]) for index, line in enumerate(lines) if ID in line.row.cells}
    for index, device in existing.match(ids, load).items():
        lines[index].device = device
        lines[index].old = {column: str(getattr(device, column) or UNKNOWN) for column in COLUMNS}
    return [
        Problem(ID, *(("unknown", UNKNOWN_ID) if pk else ("invalid", NO_ID)), index)
        for index, pk in ids.items()
        if not lines[index].device and ID not in lines[index].row.spoilt
    ]


def _read_id(text: str) -> int:
    """Return the id, 0 if the text is none."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= LONGEST_ID else 0
    return number if number <= MAX_ID else 0


def _ids(lines: Sequence[Line]) -> dict[int, int]:
    return {index: line.device.pk for index, line in enumerate(lines) if line.device}


def _find_repeated(lines: Sequence[Line], seen: Seen) -> list[Problem]:
    """Return a problem for each name, MAC and device that an earlier line has, and remember all of them."""
    columns = {column: [line.draft.get(column) for line in lines] for column in ("device_name", "device_mac")}
    columns[ID] = [line.device and line.device.pk for line in lines]
    numbers = [line.row.number for line in lines]
    return [
        problem
        for column, values in columns.items()
        for problem in find_repeated(column, values, numbers, seen[column], REPEATED[column])
    ]


def _find_conflicts(lines: Sequence[Line], origin: Origin) -> list[Problem]:
    problems = find_problems([line.draft for line in lines], origin, known=_ids(lines))
    return [replace(problem, index=lines[problem.index or 0].row.number) for problem in problems]


def new_hospitals(lines: Sequence[Line]) -> list[str]:
    """Return the names of hospitals that would be registered with these lines' devices, in order."""
    named = [line.draft.get("device_holder") for line in lines if not line.problems]
    names = {fold(holder): holder for holder in reversed(named) if holder}  # as it is spelled first
    known = Hospital.objects.called(names)
    return sorted(name for folded, name in names.items() if folded not in known)


def _name_holders(lines: list[Line], reach: Reach) -> None:
    """Use each hospital's present name, and give a new device that names none the scope's only one."""
    names = {fold(holder) for line in lines if (holder := line.draft.get("device_holder"))}
    known = Hospital.objects.within(reach).called(names) if names else {}
    for line in lines:
        if holder := line.draft.get("device_holder"):
            line.draft["device_holder"] = known[fold(holder)].name if fold(holder) in known else holder
        elif line.device is None and "device_holder" not in line.row.cells and reach.own:
            line.draft["device_holder"] = reach.own.name


def _kind(line: Line) -> Kind:
    if line.problems:
        return Kind.WRONG
    if line.device is None:
        return Kind.NEW
    return Kind.UNCHANGED if line.new.items() <= line.old.items() else Kind.CHANGED
