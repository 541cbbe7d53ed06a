"""The verbs of the registry: register, update, transfer, retire, restore.

Every write of a device goes through here, from the API, the admin, an import or a command: in one transaction with
its history, within the caller's scope, and with every problem named if it is refused (validation.py). With `dry_run`
a verb returns or refuses the same, and neither writes nor locks anything.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from devices import history, hospitals, sql
from devices.drafts import REQUIRED, DeviceType, Draft, fold
from devices.models import Device, DeviceQuerySet, Hospital, now
from devices.origin import Origin
from devices.problems import DUPLICATE, FORBIDDEN, Problem, Refused, refuse
from devices.transactions import explained_by, in_one_transaction
from devices.validation import TAKEN, find_problems

NO_ID = 0  # of a device that a dry run would register


@dataclass(frozen=True, slots=True)
class Registered:
    """New devices by column: they may be 10,000."""

    ids: Sequence[int]
    drafts: Sequence[Draft]
    holders: Sequence[Hospital | None]
    at: datetime

    def devices(self) -> list[Device]:
        return [
            Device(**(draft | {"id": pk, "device_holder": holder, "created_at": self.at, "updated_at": self.at}))
            for pk, draft, holder in zip(self.ids, self.drafts, self.holders, strict=True)
        ]


@in_one_transaction
def register(
    drafts: Sequence[Draft], origin: Origin, malformed: Sequence[Problem] = (), *, dry_run: bool = False
) -> Registered:
    """Register all of the devices or none.

    `malformed` is what reading the drafts has found (drafts.read). A device without a hospital is of the key's own, or
    of none. The number of queries does not grow with the number of drafts.

    Raises:
        Refused: with every problem of the list.
    """
    refuse(find_problems(drafts, origin, malformed=malformed, is_write=not dry_run))
    with explained_by(lambda: find_problems(drafts, origin)):
        return insert(drafts, origin, dry_run=dry_run)


def insert(drafts: Sequence[Draft], origin: Origin, *, dry_run: bool = False) -> Registered:
    """Insert devices that have no problems, with their history, and the hospitals that are named for the first time.

    Raises:
        IntegrityError: another writer was faster.
    """
    by_name, own, at = _find_holders(drafts, origin, dry_run=dry_run), origin.reach.own, now()
    holders = [own or by_name[draft.get("device_holder")] for draft in drafts]
    if dry_run:
        return Registered([NO_ID] * len(drafts), drafts, holders, at)
    columns: dict[str, list[Any]] = {field: [draft[field] for draft in drafts] for field in REQUIRED}  # type: ignore[literal-required]
    columns["device_holder_id"] = [holder and holder.pk for holder in holders]
    ids = sql.insert(Device, columns, {"created_at": at, "updated_at": at})
    history.record(Device, ids, history.ADDED, origin)
    return Registered(ids, drafts, holders, at)


class Outdated(Exception):
    """The device is not the version that the caller has seen; nothing was written."""

    def __init__(self, device: Device) -> None:
        self.device = device
        super().__init__(f"device {device.pk}")


@in_one_transaction
def update(
    devices: DeviceQuerySet,
    draft: Draft,
    origin: Origin,
    expected: Callable[[Device], bool] = lambda _device: True,
    malformed: Sequence[Problem] = (),
    *,
    dry_run: bool = False,
) -> Device:
    """Give the one device of the query set the values of the draft; what the draft leaves out stays.

    A draft that changes nothing leaves no trace: no history, and `updated_at` stays.

    Raises:
        Device.DoesNotExist: the query set has none.
        Outdated: the device, locked by then, is not as expected.
        Refused: with every problem of the draft.
    """
    device = _find_one(devices, expected, lock=not dry_run)

    def problems(**options: Any) -> list[Problem]:
        found = find_problems([draft], origin, known={0: device.pk}, **options)
        return [replace(problem, index=None) for problem in found]

    refuse(problems(malformed=malformed, is_write=not dry_run))
    with explained_by(problems):
        change([(device, draft)], origin, dry_run=dry_run)
    return device


@in_one_transaction
def transfer(devices: DeviceQuerySet, hospital: Hospital | None, origin: Origin) -> int:
    """Make the hospital (or nobody) the holder of these devices; return how many it did not hold before.

    Raises:
        Refused: the hospital is outside the scope.
    """
    if not origin.reach.includes(hospital.pk if hospital else None):
        raise Refused([Problem("device_holder", FORBIDDEN, origin.reach.refusal)])
    return _assign(devices, origin, device_holder=hospital)


@in_one_transaction
def change_type(devices: DeviceQuerySet, device_type: DeviceType, origin: Origin) -> int:
    """Give all of these devices the type; return how many had another."""
    return _assign(devices, origin, device_type=device_type)


@in_one_transaction
def retire(devices: DeviceQuerySet, origin: Origin) -> int:
    """Take the devices out of the registry; return how many there were. Their history stays."""
    return _retire(devices.lock(), origin)


@in_one_transaction
def retire_one(
    devices: DeviceQuerySet,
    origin: Origin,
    expected: Callable[[Device], bool] = lambda _device: True,
    *,
    dry_run: bool = False,
) -> None:
    """Take the one device of the query set out of the registry. Its history stays.

    Raises:
        Device.DoesNotExist: the query set has none.
        Outdated: the device, locked by then, is not as expected.
    """
    device = _find_one(devices, expected, lock=not dry_run)
    if not dry_run:
        _retire([device.pk], origin)


@in_one_transaction
def restore(device_ids: Sequence[int], origin: Origin) -> list[Device]:
    """Bring retired devices back as they were, under their old ids: all of them or none.

    Raises:
        Refused: one was not retired, or not within the scope; or another device has its name or MAC by now. The message
            names the device.
    """
    devices, at = history.retired(device_ids, origin.reach), now()
    if len(devices) < len(device_ids):
        raise Refused([Problem(None, "gone", _("One of these devices cannot be restored."))])
    for device in devices:
        device.touch(at)
    drafts: list[Draft] = [
        {
            "device_name": device.device_name,
            "device_mac": device.device_mac,
            "device_holder": device.device_holder.name if device.device_holder else None,
        }
        for device in devices
    ]

    def problems() -> list[Problem]:
        found = []
        for problem in find_problems(drafts, origin):
            text = TAKEN[problem.field or ""] if problem.code == DUPLICATE else problem.message
            found.append(replace(problem, index=None, message=f"{drafts[problem.index or 0]['device_name']}: {text}"))
        return found

    refuse(problems())
    with explained_by(problems):
        Device.objects.bulk_create(devices)
    history.record(Device, device_ids, history.ADDED, origin, history_change_reason=history.RESTORED)
    return devices


def change(changes: Sequence[tuple[Device, Draft]], origin: Origin, *, dry_run: bool = False) -> list[Device]:
    """Give each device, which the caller has locked, its own new values, and return those that differed.

    The drafts have no problems. Devices of the sequence may take names and MACs from each other.

    Raises:
        IntegrityError: another writer was faster.
    """
    by_name = _find_holders([draft for _device, draft in changes], origin, dry_run=dry_run)
    held = {field: {getattr(device, field): device.pk for device, _draft in changes} for field in TAKEN}
    changed = [device for device, draft in changes if _apply(device, draft, by_name)]
    at = now()
    for device in changed:
        device.touch(at)
    if not changed or dry_run:
        return changed
    _step_aside(changed, held)
    columns = ("device_name", "device_mac", "device_type", "device_holder_id", "updated_at")
    ids = [device.pk for device in changed]
    sql.update(Device, ids, {column: [getattr(device, column) for device in changed] for column in columns})
    history.record(Device, ids, history.CHANGED, origin)
    return changed


def _find_holders(drafts: Iterable[Draft], origin: Origin, *, dry_run: bool) -> dict[str | None, Hospital | None]:
    """Return the hospital of each name that the drafts have; register those that are named for the first time."""
    names = dict.fromkeys(draft.get("device_holder") for draft in drafts)
    found = hospitals.find_or_register(names, origin, dry_run=dry_run)
    return {name: None if name is None else found[fold(name)] for name in names}


def _retire(locked: Sequence[int], origin: Origin) -> int:
    history.record(Device, locked, history.REMOVED, origin)
    sql.delete(Device, locked)
    return len(locked)


def _assign(devices: DeviceQuerySet, origin: Origin, **value: Hospital | DeviceType | None) -> int:
    changed = devices.assign(now(), **value)
    history.record(Device, changed, history.CHANGED, origin)
    return len(changed)


def _step_aside(changed: Sequence[Device], held: Mapping[str, Mapping[str, int]]) -> None:
    """Give devices whose name or MAC another one takes temporary values: databases check uniqueness row by row.

    `held` has the id of the device that had a value before, for each field.
    """
    taken_from = {
        pk
        for device in changed
        for field in TAKEN
        if (pk := held[field].get(getattr(device, field), device.pk)) != device.pk
    }
    ids = sorted(taken_from & {device.pk for device in changed})
    if ids:
        temporary = [f"~{pk}~{secrets.token_hex(8).upper()}" for pk in ids]
        sql.update(Device, ids, dict.fromkeys(TAKEN, temporary))


def _find_one(devices: DeviceQuerySet, expected: Callable[[Device], bool], *, lock: bool) -> Device:
    device = devices.with_holders(lock=lock).get()
    if not expected(device):
        raise Outdated(device)
    return device


def _apply(device: Device, draft: Draft, by_name: Mapping[str | None, Hospital | None]) -> bool:
    """Set on the device what the draft says; return whether anything differed."""
    new: dict[str, Any] = {**draft}
    if "device_holder" in draft:
        new["device_holder"] = by_name[draft["device_holder"]]
    changed = {field: value for field, value in new.items() if getattr(device, field) != value}
    for field, value in changed.items():
        setattr(device, field, value)
    return bool(changed)
