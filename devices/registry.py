"""The verbs of the registry: register, update, transfer, retire, restore.

Every write of a device goes through here, from the API, the admin, an import or a command: in one transaction with
its history, within the caller's scope, and with every problem named if it is refused (validation.py). With `dry_run`
a verb returns or refuses the same, and neither writes nor locks anything.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, F, Value, When
from django.utils.translation import gettext_lazy as _

from devices import history, hospitals, sql
from devices.drafts import REQUIRED, DeviceType, Draft, fold
from devices.models import Device, DeviceQuerySet, Hospital, now
from devices.origin import Origin
from devices.problems import FORBIDDEN, Problem, Refused, refuse, without_index
from devices.transactions import explained_by, in_one_transaction
from devices.validation import TAKEN, find_problems

NO_ID = 0  # of a device that a dry run would register
INSTANT = timedelta(milliseconds=1)  # `updated_at` grows with every change, also when the clock was set back


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
    names = _names(drafts)
    by_name = hospitals.find_or_register(names, origin, dry_run=dry_run)
    by_draft = {name: origin.reach.own or _holder(name, by_name) for name in set(names)}
    holders, at = [by_draft[name] for name in names], now()
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


def anything(_device: Device) -> bool:
    return True


@in_one_transaction
def update(
    devices: DeviceQuerySet,
    draft: Draft,
    origin: Origin,
    expected: Callable[[Device], bool] = anything,
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
    device, write = _find_one(devices, expected, lock=not dry_run), not dry_run
    refuse(without_index(find_problems([draft], origin, malformed=malformed, known={0: device.pk}, is_write=write)))
    with explained_by(lambda: without_index(find_problems([draft], origin, known={0: device.pk}))):
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
    return _give_all(devices, origin, device_holder=hospital)


@in_one_transaction
def change_type(devices: DeviceQuerySet, device_type: DeviceType, origin: Origin) -> int:
    """Give all of these devices the type; return how many had another."""
    return _give_all(devices, origin, device_type=device_type)


@in_one_transaction
def retell(devices: DeviceQuerySet, origin: Origin) -> None:
    """Record a change of these devices because their hospital has a new name, so that clients with a copy see it."""
    history.record(Device, _lock(devices), history.CHANGED, origin)


@in_one_transaction
def retire(devices: DeviceQuerySet, origin: Origin) -> int:
    """Take the devices out of the registry; return how many there were. Their history stays."""
    return _retire(_lock(devices), origin)


@in_one_transaction
def retire_one(
    devices: DeviceQuerySet,
    origin: Origin,
    expected: Callable[[Device], bool] = anything,
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
def restore(device_id: int, origin: Origin) -> Device:
    """Bring a retired device back as it was, under its old id.

    Raises:
        Device.DoesNotExist: no device in scope with this id was retired.
        Refused: another device has its name or MAC by now.
    """
    last = Device.history.filter(id=device_id).order_by("history_id").last()
    holder = Hospital.objects.successor(last.device_holder_id) if last else None
    if last is None or last.history_type != history.REMOVED or not origin.reach.includes(holder.pk if holder else None):
        raise Device.DoesNotExist(f"No retired device has the id {device_id}.")
    draft = Draft(
        device_name=last.device_name, device_mac=last.device_mac, device_holder=holder.name if holder else None
    )
    refuse(without_index(find_problems([draft], origin, is_write=True)))
    device: Device = last.instance
    device.device_holder = holder  # None also where its hospital is gone for good
    device.updated_at = max(now(), device.updated_at + INSTANT)
    with explained_by(lambda: without_index(find_problems([draft], origin))):
        Device.objects.bulk_create([device])
    history.record(Device, [device.pk], history.ADDED, origin, history_change_reason=history.RESTORED)
    return device


@in_one_transaction
def restore_many(device_ids: Sequence[int], origin: Origin) -> int:
    """Bring all of these retired devices back or none; return how many.

    Raises:
        Refused: one of them cannot be restored; the message names the device.
    """
    problems = []
    for device_id in device_ids:
        try:
            restore(device_id, origin)
        except Device.DoesNotExist:
            problems.append(Problem(None, "gone", _("One of these devices cannot be restored.")))
        except Refused as refused:
            name = Device.history.filter(id=device_id).latest("history_id").device_name
            problems += [replace(problem, message=f"{name}: {problem.message}") for problem in refused.problems]
    refuse(problems)
    return len(device_ids)


def change(changes: Sequence[tuple[Device, Draft]], origin: Origin, *, dry_run: bool = False) -> list[Device]:
    """Give each device, which the caller has locked, its own new values, and return those that differed.

    The drafts have no problems. Devices of the sequence may take names and MACs from each other.

    Raises:
        IntegrityError: another writer was faster.
    """
    by_name = hospitals.find_or_register(_names([draft for _device, draft in changes]), origin, dry_run=dry_run)
    held = {field: {getattr(device, field): device.pk for device, _draft in changes} for field in TAKEN}
    changed = [device for device, draft in changes if _apply(device, draft, by_name)]
    at = now()
    for device in changed:
        device.updated_at = max(at, device.updated_at + INSTANT)
    if not changed or dry_run:
        return changed
    _step_aside(changed, held)
    columns = ("device_name", "device_mac", "device_type", "device_holder_id", "updated_at")
    ids = [device.pk for device in changed]
    sql.update(Device, ids, {column: [getattr(device, column) for device in changed] for column in columns})
    history.record(Device, ids, history.CHANGED, origin)
    return changed


def _names(drafts: Sequence[Draft]) -> list[str | None]:
    return [draft.get("device_holder") for draft in drafts]


def _holder(name: str | None, by_name: Mapping[str, Hospital]) -> Hospital | None:
    return None if name is None else by_name[fold(name)]


def _retire(locked: Sequence[int], origin: Origin) -> int:
    history.record(Device, locked, history.REMOVED, origin)
    sql.delete(Device, locked)
    return len(locked)


def _give_all(devices: DeviceQuerySet, origin: Origin, **value: Hospital | DeviceType | None) -> int:
    ids = _lock(devices.exclude(**value))
    at = now()
    updated_at = Case(When(updated_at__gte=at, then=F("updated_at") + INSTANT), default=Value(at))
    Device.objects.filter(pk__in=sql.any_id(ids)).update(**value, updated_at=updated_at)
    history.record(Device, ids, history.CHANGED, origin)
    return len(ids)


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
    if lock:  # Not with its hospital: PostgreSQL would return the one of before with a device that it had to wait for.
        devices = devices.select_related(None).select_for_update(of=("self",))
    else:  # With it: the hospital may be merged before another statement could read it.
        devices = devices.select_related("device_holder")
    device = devices.get()
    if not expected(device):
        raise Outdated(device)
    return device


def _lock(devices: DeviceQuerySet) -> list[int]:
    return list(devices.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True))


def _apply(device: Device, draft: Draft, by_name: Mapping[str, Hospital]) -> bool:
    """Set on the device what the draft says; return whether anything differed."""
    new = {field: value for field, value in draft.items() if field != "device_holder"}
    if "device_holder" in draft:
        new["device_holder"] = _holder(draft["device_holder"], by_name)
    changed = {field: value for field, value in new.items() if getattr(device, field) != value}
    for field, value in changed.items():
        setattr(device, field, value)
    return bool(changed)
