"""Import a fleet: many lines, each about one device, all of them or none.

`plan` finds out what each line would do, for a preview; `carry_out` does it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from devices import audit, drafts, registry, sql
from devices.audit import What
from devices.cells import REASONS
from devices.drafts import UNKNOWN, Draft, fold
from devices.headings import ID
from devices.models import MAX_ID, Device, DeviceQuerySet, Hospital
from devices.origin import Origin
from devices.problems import Problem, Refused, refuse
from devices.reach import Reach
from devices.spreadsheets import Row
from devices.transactions import explained_by, in_one_transaction
from devices.validation import Existing, find_problems, find_repeated

LINES_AT_ONCE = 5_000
LONGEST_ID = len(str(MAX_ID))

REPEATED = {
    "device_name": _("Line %(line)d of the file has the same name."),
    "device_mac": _("Line %(line)d of the file has the same MAC address."),
    ID: _("Line %(line)d of the file is about the same device."),
}
NO_ID = _("This is no id: a whole number, as an export gives it. Leave it empty to register a new device.")
UNKNOWN_ID = _("There is no device with this id. Leave it empty to register a new device.")


class Kind(StrEnum):
    """What a line does, or that it is wrong."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    WRONG = "wrong"


class Current(NamedTuple):
    """A registered device; the import may have a million, so it is no instance of the model."""

    pk: int
    device_name: str
    device_mac: str
    device_type: str
    holder: str | None


@dataclass(slots=True)
class Line:
    """A line of the file, the device in scope that it is about, and what it would do."""

    row: Row
    draft: Draft
    problems: list[Problem]  # `index` is the line's number
    device: Current | None = None
    kind: Kind = Kind.WRONG

    @property
    def device_id(self) -> int | None:
        return self.device.pk if self.device else None

    @property
    def old(self) -> dict[str, str]:
        """The values that the device has, a hospital by its name."""
        if self.device is None:
            return {}
        _pk, name, mac, kind, holder = self.device
        return {"device_name": name, "device_mac": mac, "device_type": kind, "device_holder": holder or UNKNOWN}

    @property
    def new(self) -> dict[str, str]:
        """The values that the device would have, a hospital by its name."""
        return {name: UNKNOWN if value is None else str(value) for name, value in self.draft.items()}


@dataclass
class Outcome:
    """How many lines registered a device, changed one, or found it as they say."""

    registered: int = 0
    changed: int = 0
    unchanged: int = 0

    def add(self, more: "Outcome") -> None:
        self.registered += more.registered
        self.changed += more.changed
        self.unchanged += more.unchanged


# On which line each value came first, by column and the value's hash: a million texts would be 100 MB more.
Seen = defaultdict[str, dict[int, int]]


def import_fleet(
    rows: Iterable[Row],
    origin: Origin,
    *,
    dry_run: bool = False,
    progress: Callable[[int], object] = lambda count: None,
) -> Outcome:
    """Register the devices that are new, and give those that are known the values of their line.

    1. Take some thousand lines at a time, so that memory does not grow with the file.
    2. Within one transaction, plan and carry out; if lines are wrong, go on, to name them all.
    3. If any was wrong, roll everything back.

    Later lines are compared with the registry without a batch that was refused, and with names of their own batch only:
    a file with many wrong lines may need a second look.

    A dry run only plans, and holds no lock. It compares each line with the registry as it is, so it refuses a line that
    needs what a line more than LINES_AT_ONCE before gives up.

    Raises:
        Refused: nothing was imported; `index` of each problem is the line's number in the file.
    """
    outcome, problems, seen = Outcome(), list[Problem](), Seen(dict)
    with nullcontext() if dry_run else transaction.atomic():
        for batch in _batches(rows):
            lines = plan(batch, origin, seen, lock=not dry_run)
            try:
                outcome.add(_outcome(lines) if dry_run else carry_out(lines, origin))
            except Refused as refused:
                problems += refused.problems
            progress(len(batch))
            if not dry_run:
                seen["device_name"].clear()  # the registry has these names now
        if not dry_run:
            note(outcome)
            if problems:
                transaction.set_rollback(True)
    refuse(problems)
    return outcome


def note(outcome: Outcome) -> None:
    """Record in the audit log that a file was imported. The history has what it did to each device."""
    audit.note(What.IMPORTED, **asdict(outcome))


def plan(rows: Iterable[Row], origin: Origin, seen: Seen | None = None, *, lock: bool = False) -> list[Line]:
    """Find out what each line would do, in a number of queries that does not grow with the lines; write nothing.

    1. Read each line as a draft.
    2. Find the device in scope that it is about: by its id if it has one, else by its MAC. An id outside the scope
       gets the same problem as an id that no device has.
    3. Find every problem, in the same way as for a posted list. Lines before count, in earlier batches too.

    `lock` keeps others from changing these devices until the transaction ends; it needs one.
    """
    lines = [_read(row) for row in rows]
    existing = Existing([line.draft for line in lines], origin)
    ids = {index: _read_id(line.row) for index, line in enumerate(lines) if ID in line.row.cells}
    for index, device in existing.match(ids, lambda devices: _load(devices, lock=lock)).items():
        lines[index].device = device
    _name_holders(lines, origin.reach)
    malformed = [replace(problem, index=index) for index, line in enumerate(lines) for problem in line.problems]
    malformed += [
        Problem(ID, *(("unknown", UNKNOWN_ID) if pk else ("invalid", NO_ID)), index)
        for index, pk in ids.items()
        if not lines[index].device and ID not in lines[index].row.spoilt
    ]
    repeated = _find_repeated(lines, Seen(dict) if seen is None else seen)
    for line in lines:
        line.problems = []
    for problem in find_problems(
        existing.drafts, origin, malformed=malformed, known=_ids(lines), existing=existing, repeated=repeated
    ):
        line = lines[problem.index or 0]
        line.problems.append(replace(problem, index=line.row.number))
    for line in lines:
        line.kind = _kind(line)
    return lines


@in_one_transaction
def carry_out(lines: Sequence[Line], origin: Origin) -> Outcome:
    """Do what the lines say, within the transaction in which they were planned with a lock.

    Raises:
        Refused: lines are wrong, or another writer was faster.
    """
    outcome = _outcome(lines)
    changed = {line.device_id or 0: line.draft for line in lines if line.kind == Kind.CHANGED}
    devices = Device.objects.filter(pk__in=sql.any_id(list(changed))).select_related("device_holder")
    new = [line.draft for line in lines if line.kind == Kind.NEW]
    with explained_by(lambda: _find_conflicts(lines, origin)):
        if changed:
            registry.change([(device, changed[device.pk]) for device in devices], origin)
        if new:
            registry.insert(new, origin)
    return outcome


def exported(devices: DeviceQuerySet) -> Iterator[tuple[str, ...]]:
    """Yield the cells of spreadsheets.EXPORTED of each device, by ascending id, some thousand at a time."""
    columns = ("id", "device_name", "device_mac", "device_type", "device_holder__name")
    rows = devices.order_by("id").values_list(*columns).iterator(chunk_size=LINES_AT_ONCE)
    for pk, name, mac, kind, holder in rows:
        yield str(pk), name, mac, kind, holder or UNKNOWN


def _outcome(lines: Sequence[Line]) -> Outcome:
    """Count the lines by what they do.

    Raises:
        Refused: lines are wrong.
    """
    refuse(problem for line in lines for problem in line.problems)
    kinds = Counter(line.kind for line in lines)
    return Outcome(kinds[Kind.NEW], kinds[Kind.CHANGED], kinds[Kind.UNCHANGED])


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, LINES_AT_ONCE)):
        yield batch


def _read(row: Row) -> Line:
    draft, problems = drafts.read({column: text for column, text in row.cells.items() if column not in row.spoilt})
    if row.spoilt:
        problems = [problem for problem in problems if problem.field not in row.spoilt]
        problems += [Problem(column, "spoilt", REASONS[spoilt]) for column, spoilt in row.spoilt.items()]
    return Line(row, draft, problems)


def _read_id(row: Row) -> int:
    """Return the id that the row gives, 0 if it is none."""
    text = row.cells[ID]
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= LONGEST_ID else 0
    return number if number <= MAX_ID else 0


def _load(devices: DeviceQuerySet, *, lock: bool) -> dict[int, Current]:
    if lock:
        devices = devices.select_for_update(of=("self",))
    rows = devices.values_list("pk", "device_name", "device_mac", "device_type", "device_holder__name")
    return {row[0]: Current._make(row) for row in rows}


def _ids(lines: Sequence[Line]) -> dict[int, int]:
    return {index: line.device.pk for index, line in enumerate(lines) if line.device}


def _find_repeated(lines: Sequence[Line], seen: Seen) -> list[Problem]:
    """Return a problem for each name, MAC and device that an earlier line has, and remember all of them."""
    columns: Mapping[str, list[object]] = {
        "device_name": [line.draft.get("device_name") for line in lines],
        "device_mac": [line.draft.get("device_mac") for line in lines],
        ID: [line.device_id for line in lines],
    }
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
    names: dict[str, str] = {}
    for line in lines:
        if not line.problems and (holder := line.draft.get("device_holder")):
            names.setdefault(fold(holder), holder)
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
