"""Import a fleet: many lines, matched by MAC, all of them or none."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from devices import drafts, registry, sql
from devices.drafts import Draft
from devices.models import Device
from devices.origin import Origin
from devices.problems import Problem, Refused
from devices.spreadsheets import Row

Unique = Literal["device_name", "device_mac"]

LINES_AT_ONCE = 5_000

REPEATED = {
    "device_name": _("Line %(line)d of the file has the same name."),
    "device_mac": _("Line %(line)d of the file has the same MAC address."),
}


@dataclass
class Outcome:
    """How many lines registered a device, changed one, or found it as they say."""

    registered: int = 0
    changed: int = 0
    unchanged: int = 0


def import_fleet(
    rows: Iterable[Row],
    origin: Origin,
    *,
    dry_run: bool = False,
    progress: Callable[[int], object] = lambda count: None,
) -> Outcome:
    """Register the devices whose MAC is new, and give those that are known the values of their line.

    1. Take some thousand lines at a time, so that memory does not grow with the file.
    2. Within one transaction, register and update; where lines are refused, note them and go on, to name them all.
    3. If any was refused, or for a dry run, take everything back.

    What some thousand lines were refused for is not written while later ones are tried, and a name is compared with
    those of its own thousands and of the registry: a file with many wrong lines may need a second look.

    Raises:
        Refused: nothing was imported; `index` of each problem is the line's number in the file.
    """
    outcome, problems, seen = Outcome(), [], dict[int, int]()
    with transaction.atomic():
        for batch in _batches(rows):
            try:
                _import_batch(batch, origin, seen, outcome)
            except Refused as refused:
                problems += refused.problems
            progress(len(batch))
        if problems or dry_run:
            transaction.set_rollback(True)
    if problems:
        raise Refused(problems)
    return outcome


def _import_batch(batch: list[Row], origin: Origin, seen: dict[int, int], outcome: Outcome) -> None:
    lines = [number for number, _row in batch]
    read, problems = [], []
    names: dict[int, int] = {}
    for number, row in batch:
        draft, wrong = drafts.read(row)
        wrong += _repeated(draft, number, "device_name", names) + _repeated(draft, number, "device_mac", seen)
        read.append(draft)
        problems += [replace(problem, index=number) for problem in wrong]
    known = _registered(read)
    places = {known[draft["device_mac"]]: i for i, draft in enumerate(read) if draft.get("device_mac") in known}
    if problems:
        rest = registry.beyond_reach(read, origin.reach) + registry.taken(read, places)
        raise Refused(problems + _by_line(rest, lines))
    new = [i for i, draft in enumerate(read) if draft["device_mac"] not in known]
    old = [i for i, draft in enumerate(read) if draft["device_mac"] in known]
    refused: list[Problem] = []
    try:
        changed = registry.update_many([(known[read[i]["device_mac"]], read[i]) for i in old], origin)
        outcome.changed += changed
        outcome.unchanged += len(old) - changed
    except Refused as error:
        refused += _by_line(error.problems, [lines[i] for i in old])
    try:
        outcome.registered += len(registry.register([read[i] for i in new], origin)) if new else 0
    except Refused as error:
        refused += _by_line(error.problems, [lines[i] for i in new])
    if refused:
        raise Refused(refused)


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, LINES_AT_ONCE)):
        yield batch


def _repeated(draft: Draft, number: int, field: Unique, seen: dict[int, int]) -> list[Problem]:
    """Return a problem if an earlier line has the same. Hashes are kept, not texts: a million are 100 MB less."""
    if field not in draft:
        return []
    earlier = seen.setdefault(hash(draft[field]), number)
    return [] if earlier == number else [Problem(field, "duplicate", REPEATED[field] % {"line": earlier})]


def _registered(read: list[Draft]) -> dict[str, int]:
    """Return the ids of the registered devices among these by their MACs."""
    macs = [draft["device_mac"] for draft in read if "device_mac" in draft]
    devices = Device.objects.filter(device_mac__in=sql.any_text(macs))
    return dict(devices.select_for_update().values_list("device_mac", "pk"))


def _by_line(problems: list[Problem], lines: list[int]) -> list[Problem]:
    return [replace(problem, index=lines[problem.index or 0]) for problem in problems]
