"""Import a fleet: many lines, each about one device, all of them or none.

What a line would do is found out first (`plan`), and said to whoever asks; doing it (`carry_out`) is another step.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from itertools import islice

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from devices import audit, conflicts, drafts, registry, sql
from devices.audit import What
from devices.cells import REASONS
from devices.drafts import UNKNOWN, Draft, fold
from devices.headings import ID
from devices.models import MAX_ID, Device, DeviceQuerySet, Hospital
from devices.origin import Origin
from devices.problems import Problem, Refused
from devices.reach import Reach
from devices.spreadsheets import Row

LINES_AT_ONCE = 5_000

REPEATED = {
    "device_name": _("Line %(line)d of the file has the same name."),
    "device_mac": _("Line %(line)d of the file has the same MAC address."),
    ID: _("Line %(line)d of the file is about the same device."),
}
NO_ID = _("This is no id: a whole number, as an export gives it. Leave it empty to register a new device.")
UNKNOWN_ID = _("There is no device with this id. Leave it empty to register a new device.")
WHICH_HOSPITAL = _("Name one of your hospitals: you have several.")


class Kind(StrEnum):
    """What a line does, or that it is wrong."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    WRONG = "wrong"


@dataclass(slots=True)
class Line:
    """A line of the file: the device that it is about, if that is registered, and what the line makes of it."""

    row: Row
    draft: Draft
    problems: list[Problem]  # `index` is the line's number
    device_id: int | None = None
    old: dict[str, str] = field(default_factory=dict)  # of that device, a holder by its name
    kind: Kind = Kind.WRONG

    @property
    def new(self) -> dict[str, str]:
        """What the line says that the device shall be, a holder by its name."""
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


@dataclass
class Seen:
    """On which line each MAC and each device was seen first. Hashes are kept: a million texts are 100 MB more.

    Names are kept for a dry run only: an import finds those of earlier lines in the registry.
    """

    macs: dict[int, int] = field(default_factory=dict)
    devices: dict[int, int] = field(default_factory=dict)
    names: dict[int, int] | None = None


def import_fleet(
    rows: Iterable[Row],
    origin: Origin,
    *,
    dry_run: bool = False,
    progress: Callable[[int], object] = lambda count: None,
) -> Outcome:
    """Register the devices that are new, and give those that are known the values of their line.

    1. Take some thousand lines at a time, so that memory does not grow with the file.
    2. Within one transaction, plan and do; where lines are wrong, note them and go on, to name them all.
    3. If any was wrong, take everything back.

    What some thousand lines were refused for is not written while later ones are tried, and a name is compared with
    those of its own thousands and of the registry: a file with many wrong lines may need a second look.

    A dry run only plans, and holds no lock. It compares each line with the registry as it is, so it refuses a line that
    needs what a line more than LINES_AT_ONCE before gives up.

    Raises:
        Refused: nothing was imported; `index` of each problem is the line's number in the file.
    """
    if dry_run:
        return _dry_run(rows, origin, progress)
    outcome, problems, seen = Outcome(), [], Seen()
    with transaction.atomic():
        for batch in _batches(rows):
            lines = plan(batch, origin, seen, lock=True)
            try:
                outcome.add(carry_out(lines, origin))
            except Refused as refused:
                problems += refused.problems
            progress(len(batch))
        note(outcome)
        if problems:
            transaction.set_rollback(True)
    if problems:
        raise Refused(problems)
    return outcome


def _dry_run(rows: Iterable[Row], origin: Origin, progress: Callable[[int], object]) -> Outcome:
    kinds, problems, seen = Counter[Kind](), list[Problem](), Seen(names={})
    for batch in _batches(rows):
        lines = plan(batch, origin, seen)
        problems += [problem for line in lines for problem in line.problems]
        kinds.update(line.kind for line in lines)
        progress(len(batch))
    if problems:
        raise Refused(problems)
    return Outcome(kinds[Kind.NEW], kinds[Kind.CHANGED], kinds[Kind.UNCHANGED])


def note(outcome: Outcome) -> None:
    """Put on record that a file was imported. What it did to each device, its history tells."""
    audit.note(What.IMPORTED, **asdict(outcome))


def plan(rows: Iterable[Row], origin: Origin, seen: Seen | None = None, *, lock: bool = False) -> list[Line]:
    """Find out what each line would do, in a number of queries that does not grow with the lines; write nothing.

    1. Read each line as a draft, and note what is wrong with it by itself or beside the lines before.
    2. Find the device within reach that it is about: by its id where it has one, else by its MAC. An id beyond reach is
       answered like one that is not there.
    3. Note what is beyond reach, and each name and MAC that another device has and keeps. Which one is not told.

    `lock` keeps others from changing these devices until the transaction ends; it needs one.
    """
    seen = seen or Seen()
    names = {} if seen.names is None else seen.names
    lines = [_read(row, names, seen) for row in rows]
    _find_devices(lines, origin.reach, seen, lock=lock)
    _name_holders(lines, origin.reach)
    read = [line.draft for line in lines]
    owners = {line.device_id: place for place, line in enumerate(lines) if line.device_id is not None}
    for problem in conflicts.beyond_reach(read, origin.reach) + conflicts.taken(read, origin, owners):
        lines[problem.index or 0].problems.append(problem)
    for line in lines:
        line.problems = [replace(problem, index=line.row.number) for problem in line.problems]
        line.kind = _kind(line)
    return lines


def carry_out(lines: Sequence[Line], origin: Origin) -> Outcome:
    """Do what the lines say, within the transaction in which they were planned with a lock.

    Raises:
        Refused: lines are wrong, or somebody else was faster.
    """
    if problems := [problem for line in lines for problem in line.problems]:
        raise Refused(problems)
    changed = [line for line in lines if line.kind == Kind.CHANGED]
    new = [line for line in lines if line.kind == Kind.NEW]
    if changed:
        with _told_by_line(changed):
            registry.update_many([(line.device_id or 0, line.draft) for line in changed], origin)
    if new:
        with _told_by_line(new):
            registry.register([line.draft for line in new], origin)
    return Outcome(len(new), len(changed), len(lines) - len(new) - len(changed))


def exported(devices: DeviceQuerySet) -> Iterator[tuple[str, ...]]:
    """Give the devices by ascending id, each with the cells of spreadsheets.EXPORTED, some thousand at a time."""
    columns = ("id", "device_name", "device_mac", "device_type", "device_holder__name")
    rows = devices.order_by("id").values_list(*columns).iterator(chunk_size=LINES_AT_ONCE)
    for pk, name, mac, kind, holder in rows:
        yield str(pk), name, mac, kind, holder or UNKNOWN


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, LINES_AT_ONCE)):
        yield batch


def _read(row: Row, names: dict[int, int], seen: Seen) -> Line:
    draft, problems = drafts.read({column: text for column, text in row.cells.items() if column not in row.spoilt})
    if row.spoilt:
        problems = [problem for problem in problems if problem.field not in row.spoilt]
        problems += [Problem(column, "spoilt", REASONS[spoilt]) for column, spoilt in row.spoilt.items()]
    problems += _repeated("device_name", draft.get("device_name"), row.number, names)
    problems += _repeated("device_mac", draft.get("device_mac"), row.number, seen.macs)
    return Line(row, draft, problems)


def _repeated(column: str, value: object, number: int, seen: dict[int, int]) -> list[Problem]:
    """Return a problem if a line before has the same."""
    if value is None:
        return []
    earlier = seen.setdefault(hash(value), number)
    return [] if earlier == number else [Problem(column, "duplicate", REPEATED[column] % {"line": earlier})]


def _find_devices(lines: list[Line], reach: Reach, seen: Seen, *, lock: bool) -> None:
    ids = [_read_id(line) for line in lines]
    devices = Device.objects.within(reach)
    if lock:
        devices = devices.select_for_update(of=("self",)).order_by("pk")
    by_id = _registered(devices.filter(pk__in=sql.any_id([pk for pk in ids if pk])))
    macs = [line.draft["device_mac"] for line, pk in zip(lines, ids, strict=True) if pk is None and _mac(line)]
    by_mac = _registered(devices.filter(device_mac__in=sql.any_text(macs)))
    pk_of = {old["device_mac"]: pk for pk, old in by_mac.items()}
    for line, given in zip(lines, ids, strict=True):
        pk = given if given is not None else pk_of.get(_mac(line))
        old = by_id.get(pk or 0) or by_mac.get(pk or 0)
        if pk is not None and old is not None:
            line.device_id, line.old = pk, old
            line.problems += _repeated(ID, pk, line.row.number, seen.devices)
        elif given and ID not in line.row.spoilt:
            line.problems.append(Problem(ID, "unknown", UNKNOWN_ID))


def _read_id(line: Line) -> int | None:
    """Return the id that the line gives, 0 for one that is none, None if it gives none."""
    text = line.row.cells.get(ID)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and 0 < int(text[:20]) <= MAX_ID:
        return int(text)
    if ID not in line.row.spoilt:
        line.problems.append(Problem(ID, "invalid", NO_ID))
    return 0


def _mac(line: Line) -> str:
    return line.draft.get("device_mac", "")


def _registered(devices: DeviceQuerySet) -> dict[int, dict[str, str]]:
    """Return what each device is, as a line would say it, by its id."""
    columns = ("device_name", "device_mac", "device_type", "device_holder__name")
    return {
        pk: {"device_name": name, "device_mac": mac, "device_type": kind, "device_holder": holder or UNKNOWN}
        for pk, name, mac, kind, holder in devices.values_list("pk", *columns)
    }


def new_hospitals(lines: Sequence[Line]) -> list[str]:
    """Return the names of hospitals that would be registered with these lines' devices, in order."""
    names: dict[str, str] = {}
    for line in lines:
        if not line.problems and (holder := line.draft.get("device_holder")):
            names.setdefault(fold(holder), holder)
    known = Hospital.objects.called(names)
    return sorted(name for folded, name in names.items() if folded not in known)


def _name_holders(lines: list[Line], reach: Reach) -> None:
    """Call each hospital what it is called now, and give a new device that names none the only one within reach."""
    names = {fold(holder) for line in lines if (holder := line.draft.get("device_holder"))}
    known = Hospital.objects.within(reach).called(names) if names else {}
    for line in lines:
        if holder := line.draft.get("device_holder"):
            line.draft["device_holder"] = known[fold(holder)].name if fold(holder) in known else holder
        elif line.device_id is None and "device_holder" not in line.row.cells and reach.own:
            line.draft["device_holder"] = reach.own.name
        elif line.device_id is None and "device_holder" not in line.row.cells and reach.hospitals is not None:
            line.problems.append(Problem("device_holder", "required", WHICH_HOSPITAL))


def _kind(line: Line) -> Kind:
    if line.problems:
        return Kind.WRONG
    if line.device_id is None:
        return Kind.NEW
    same = all(line.old[name] == value for name, value in line.new.items())
    return Kind.UNCHANGED if same else Kind.CHANGED


@contextmanager
def _told_by_line(lines: Sequence[Line]) -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        problems = [replace(problem, index=lines[problem.index or 0].row.number) for problem in refused.problems]
        raise Refused(problems) from refused
