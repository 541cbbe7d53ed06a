"""Register a list of devices item by item: what is right although others are not, and what is known already."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from django.db import IntegrityError, transaction

from devices import conflicts, dry_runs, registry, sql
from devices.drafts import Draft
from devices.hospital_names import find_hospitals
from devices.models import Device, DeviceQuerySet, Hospital
from devices.origin import Origin
from devices.problems import CONFLICT_LIMIT, DUPLICATE, UNIQUE, Problem, Refused
from devices.reach import Reach
from devices.transactions import ATTEMPTS, in_one_transaction

CREATED, UPDATED, UNCHANGED = "created", "updated", "unchanged"
CONFLICT, INVALID, LIMITED = "conflict", "invalid", "limited"
STATUSES = (CREATED, UPDATED, UNCHANGED, CONFLICT, INVALID, LIMITED)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one item: the device, or the problems for which there is none."""

    status: str
    device: Device | None = None
    problems: Sequence[Problem] = ()


@in_one_transaction
def register_each(
    drafts: Sequence[Draft], malformed: Iterable[Problem], origin: Origin, *, partial: bool, update: bool
) -> list[Result]:
    """Register the devices, and return what became of each in the order of the drafts.

    With `update`, a draft whose MAC is that of a device within the reach gives that device its values. With `partial`,
    items that are wrong are left out; without, one that is wrong refuses all.

    1. Lock the devices that are known by their MACs.
    2. Find what is wrong with each draft; of two that are the same, the first that is right stays. Who was to have the
       name or the MAC that another gives up is wrong with that.
    3. Write the rest.

    If another writer was faster, here or between 1 and 2, what he wrote is known by now: begin again.

    Raises:
        Refused: something is wrong (not `partial`), or others were faster each time; `index` is the place in the list.
    """
    malformed = list(malformed)
    for attempt in range(1, ATTEMPTS + 1):
        known = _known(drafts, origin.reach) if update else {}
        wrong = _wrong(drafts, malformed, known, origin)
        if update and attempt < ATTEMPTS and _is_taken(wrong) and _known(drafts, origin.reach) != known:
            continue
        if wrong and not partial:
            raise Refused(problem for index in sorted(wrong) for problem in wrong[index])
        try:
            with transaction.atomic():
                right = [index for index in range(len(drafts)) if index not in wrong]
                results = _write(drafts, right, known, origin)
        except (Refused, IntegrityError):
            if attempt == ATTEMPTS:
                raise
        else:
            results |= {index: Result(_status(problems), problems=problems) for index, problems in wrong.items()}
            return [results[index] for index in range(len(drafts))]
    raise AssertionError("the last attempt returns or raises")


def plan_each(
    drafts: Sequence[Draft], malformed: Iterable[Problem], origin: Origin, *, partial: bool, update: bool
) -> list[Result]:
    """Return what `register_each` would, and write and lock nothing.

    Raises:
        Refused: something is wrong (not `partial`); `index` is the place in the list.
    """
    known = _known(drafts, origin.reach, lock=False) if update else {}
    wrong = _wrong(drafts, list(malformed), known, origin)
    if wrong and not partial:
        raise Refused(problem for index in sorted(wrong) for problem in wrong[index])
    old = [index for index in known if index not in wrong]
    new = [index for index in range(len(drafts)) if index not in wrong and index not in known]
    hospitals = find_hospitals(registry.names_of(drafts[index] for index in [*old, *new]))
    changed = {device.pk for device in registry.apply_drafts([(known[i], drafts[i]) for i in old], hospitals)}
    results = {index: Result(_status(problems), problems=problems) for index, problems in wrong.items()}
    results |= {i: Result(UPDATED if known[i].pk in changed else UNCHANGED, known[i]) for i in old}
    registered = dry_runs.registered([drafts[index] for index in new], hospitals, origin)
    results |= {index: Result(CREATED, device) for index, device in zip(new, registered, strict=True)}
    return [results[index] for index in range(len(drafts))]


def _known(drafts: Sequence[Draft], reach: Reach, *, lock: bool = True) -> dict[int, Device]:
    """Return the registered devices by the place of the first draft that has their MAC."""
    places: dict[str, int] = {}
    for index, draft in enumerate(drafts):
        if "device_mac" in draft:
            places.setdefault(draft["device_mac"], index)
    found = Device.objects.within(reach).filter(device_mac__in=sql.any_text(list(places))).order_by("pk")
    devices = _lock(found) if lock else found.select_related("device_holder")
    return {places[device.device_mac]: device for device in devices}


def _lock(found: DeviceQuerySet) -> list[Device]:
    devices = list(found.select_for_update(of=("self",)))
    hospitals = Hospital.objects.in_bulk({device.device_holder_id for device in devices if device.device_holder_id})
    for device in devices:
        device.device_holder = hospitals[device.device_holder_id] if device.device_holder_id else None
    return devices


def _is_taken(wrong: Mapping[int, list[Problem]]) -> bool:
    return any((problem.field, problem.code) == ("device_mac", UNIQUE) for told in wrong.values() for problem in told)


def _wrong(
    drafts: Sequence[Draft], malformed: Sequence[Problem], known: Mapping[int, Device], origin: Origin
) -> dict[int, list[Problem]]:
    owners = {device.pk: index for index, device in known.items()}
    taken, given_up = conflicts.taken_or_given_up(drafts, origin, owners)
    wrong: dict[int, list[Problem]] = {}
    for problem in [*malformed, *conflicts.beyond_reach(drafts, origin.reach, new=True), *taken]:
        wrong.setdefault(problem.index or 0, []).append(replace(problem, index=problem.index or 0))
    first: dict[tuple[str, object], int] = {}
    for index, draft in enumerate(drafts):
        if index in wrong:
            continue
        values = [(field, draft[field]) for field in conflicts.TWICE]  # type: ignore[literal-required]
        earlier = {field: first[field, value] for field, value in values if (field, value) in first}
        if earlier:
            wrong[index] = [
                Problem(field, DUPLICATE, conflicts.TWICE[field] % {"index": place}, index)
                for field, place in earlier.items()
            ]
        else:
            first |= dict.fromkeys(values, index)
    _let_fall(wrong, given_up)
    return wrong


def _let_fall(wrong: dict[int, list[Problem]], given_up: Mapping[int, list[Problem]]) -> None:
    """Add whoever was to have what a draft gives up that is left out, and whoever counted on them."""
    left_out = list(wrong)
    while left_out:
        for problem in given_up.get(left_out.pop(), ()):
            index = problem.index or 0
            if index not in wrong:
                wrong[index] = [problem]
                left_out.append(index)


def _write(
    drafts: Sequence[Draft], right: Sequence[int], known: Mapping[int, Device], origin: Origin
) -> dict[int, Result]:
    old = [index for index in right if index in known]
    new = [index for index in right if index not in known]
    changes = [(known[index], drafts[index]) for index in old]
    changed = {device.pk for device in registry.change(changes, origin, compared=True)}
    registered = registry.register([drafts[index] for index in new], origin, compared=True) if new else []
    results = {index: Result(CREATED, device) for index, device in zip(new, registered, strict=True)}
    for index in old:
        results[index] = Result(UPDATED if known[index].pk in changed else UNCHANGED, known[index])
    return results


def _status(problems: Iterable[Problem]) -> str:
    codes = {problem.code for problem in problems}
    if codes == {CONFLICT_LIMIT}:
        return LIMITED
    return CONFLICT if codes <= {UNIQUE, DUPLICATE} else INVALID
