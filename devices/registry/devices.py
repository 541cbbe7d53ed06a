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

from devices.access.actor import Actor
from devices.db import bulk
from devices.db.transactions import atomic_with_retry, explained_by
from devices.history import recording
from devices.models import Device, DeviceQuerySet, Hospital, now_ms
from devices.registry import hospitals
from devices.registry.device_data import REQUIRED_FIELDS, DeviceData
from devices.registry.validation import UNIQUE_MESSAGES, find_problems, out_of_scope
from devices.values.device_types import DeviceType
from devices.values.error_codes import AdminErrorCode
from devices.values.errors import DUPLICATE, FieldError, ValidationFailed, raise_error
from devices.values.hospital_names import fold_name

NO_ID = 0  # of a device that a dry run would register


@dataclass(frozen=True, slots=True)
class RegisteredDevices:
    """New devices by column: they may be 10,000."""

    ids: Sequence[int]
    items: Sequence[DeviceData]
    hospitals: Sequence[Hospital | None]
    at: datetime

    def devices(self) -> list[Device]:
        return [
            Device(**(item | {"id": pk, "device_holder": holder, "created_at": self.at, "updated_at": self.at}))
            for pk, item, holder in zip(self.ids, self.items, self.hospitals, strict=True)
        ]


@atomic_with_retry
def register(
    items: Sequence[DeviceData], actor: Actor, malformed: Sequence[FieldError] = (), *, dry_run: bool = False
) -> RegisteredDevices:
    """Register all of the devices or none.

    `malformed` is what reading the drafts has found (drafts.read). A device without a hospital is of the key's own, or
    of none. The number of queries does not grow with the number of drafts.

    Raises:
        Refused: with every problem of the list.
    """
    raise_error(find_problems(items, actor, malformed=malformed, is_write=not dry_run))
    with explained_by(lambda: find_problems(items, actor)):
        return insert(items, actor, dry_run=dry_run)


def insert(items: Sequence[DeviceData], actor: Actor, *, dry_run: bool = False) -> RegisteredDevices:
    """Insert devices that have no problems, with their history, and the hospitals that are named for the first time.

    Raises:
        IntegrityError: another writer was faster.
    """
    by_name, own, at = _find_holders(items, actor, dry_run=dry_run), actor.scope.default_hospital, now_ms()
    holders = [own or by_name[item.get("device_holder")] for item in items]
    if dry_run:
        return RegisteredDevices([NO_ID] * len(items), items, holders, at)
    columns: dict[str, list[Any]] = {field: [item[field] for item in items] for field in REQUIRED_FIELDS}  # type: ignore[literal-required]
    columns["device_holder_id"] = [holder and holder.pk for holder in holders]
    ids = bulk.insert(Device, columns, {"created_at": at, "updated_at": at})
    recording.record(Device, ids, recording.CREATED, actor)
    return RegisteredDevices(ids, items, holders, at)


class PreconditionFailed(Exception):
    """The device is not the version that the caller has seen; nothing was written."""

    def __init__(self, device: Device) -> None:
        self.device = device
        super().__init__(f"device {device.pk}")


@atomic_with_retry
def update(
    devices: DeviceQuerySet,
    item: DeviceData,
    actor: Actor,
    precondition: Callable[[Device], bool] = lambda _device: True,
    malformed: Sequence[FieldError] = (),
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
    device = _find_one(devices, precondition, lock=not dry_run)

    def problems(**options: Any) -> list[FieldError]:
        found = find_problems([item], actor, known={0: device.pk}, **options)
        return [replace(problem, index=None) for problem in found]

    raise_error(problems(malformed=malformed, is_write=not dry_run))
    with explained_by(problems):
        apply_changes([(device, item)], actor, dry_run=dry_run)
    return device


@atomic_with_retry
def transfer(devices: DeviceQuerySet, hospital: Hospital | None, actor: Actor) -> int:
    """Make the hospital (or nobody) the holder of these devices; return how many it did not hold before.

    Raises:
        Refused: the hospital is outside the scope.
    """
    if not actor.scope.allows(hospital.pk if hospital else None):
        raise ValidationFailed([out_of_scope(actor)])
    return _assign(devices, actor, device_holder=hospital)


@atomic_with_retry
def change_type(devices: DeviceQuerySet, device_type: DeviceType, actor: Actor) -> int:
    """Give all of these devices the type; return how many had another."""
    return _assign(devices, actor, device_type=device_type)


@atomic_with_retry
def retire(devices: DeviceQuerySet, actor: Actor) -> int:
    """Take the devices out of the registry; return how many there were. Their history stays."""
    return _retire(devices.lock(), actor)


@atomic_with_retry
def retire_one(
    devices: DeviceQuerySet,
    actor: Actor,
    precondition: Callable[[Device], bool] = lambda _device: True,
    *,
    dry_run: bool = False,
) -> None:
    """Take the one device of the query set out of the registry. Its history stays.

    Raises:
        Device.DoesNotExist: the query set has none.
        Outdated: the device, locked by then, is not as expected.
    """
    device = _find_one(devices, precondition, lock=not dry_run)
    if not dry_run:
        _retire([device.pk], actor)


@atomic_with_retry
def restore(device_ids: Sequence[int], actor: Actor) -> list[Device]:
    """Bring retired devices back as they were, under their old ids: all of them or none.

    Raises:
        Refused: one was not retired, or not within the scope; or another device has its name or MAC by now. The message
            names the device.
    """
    devices, at = recording.retired_devices(device_ids, actor.scope), now_ms()
    if len(devices) < len(device_ids):
        raise ValidationFailed([FieldError(None, AdminErrorCode.GONE, _("One of these devices cannot be restored."))])
    for device in devices:
        device.touch(at)
    items: list[DeviceData] = [
        {
            "device_name": device.device_name,
            "device_mac": device.device_mac,
            "device_holder": device.device_holder.name if device.device_holder else None,
        }
        for device in devices
    ]

    def problems() -> list[FieldError]:
        found = []
        for problem in find_problems(items, actor):
            text = UNIQUE_MESSAGES[problem.field or ""] if problem.code == DUPLICATE else problem.message
            found.append(replace(problem, index=None, message=f"{items[problem.index or 0]['device_name']}: {text}"))
        return found

    raise_error(problems())
    with explained_by(problems):
        Device.objects.bulk_create(devices)
    recording.record(Device, device_ids, recording.CREATED, actor, history_change_reason=recording.RESTORED)
    return devices


def apply_changes(changes: Sequence[tuple[Device, DeviceData]], actor: Actor, *, dry_run: bool = False) -> list[Device]:
    """Give each device, which the caller has locked, its own new values, and return those that differed.

    The drafts have no problems. Devices of the sequence may take names and MACs from each other.

    Raises:
        IntegrityError: another writer was faster.
    """
    by_name = _find_holders([item for _device, item in changes], actor, dry_run=dry_run)
    held = {field: {getattr(device, field): device.pk for device, _draft in changes} for field in UNIQUE_MESSAGES}
    changed = [device for device, item in changes if _apply(device, item, by_name)]
    at = now_ms()
    for device in changed:
        device.touch(at)
    if not changed or dry_run:
        return changed
    _park_swapped_values(changed, held)
    columns = ("device_name", "device_mac", "device_type", "device_holder_id", "updated_at")
    ids = [device.pk for device in changed]
    bulk.update(Device, ids, {column: [getattr(device, column) for device in changed] for column in columns})
    recording.record(Device, ids, recording.CHANGED, actor)
    return changed


def _find_holders(items: Iterable[DeviceData], actor: Actor, *, dry_run: bool) -> dict[str | None, Hospital | None]:
    """Return the hospital of each name that the drafts have; register those that are named for the first time."""
    names = dict.fromkeys(item.get("device_holder") for item in items)
    found = hospitals.get_or_create(names, actor, dry_run=dry_run)
    return {name: None if name is None else found[fold_name(name)] for name in names}


def _retire(locked: Sequence[int], actor: Actor) -> int:
    recording.record(Device, locked, recording.DELETED, actor)
    bulk.delete(Device, locked)
    return len(locked)


def _assign(devices: DeviceQuerySet, actor: Actor, **value: Hospital | DeviceType | None) -> int:
    changed = devices.assign(now_ms(), **value)
    recording.record(Device, changed, recording.CHANGED, actor)
    return len(changed)


def _park_swapped_values(changed: Sequence[Device], held: Mapping[str, Mapping[str, int]]) -> None:
    """Give devices whose name or MAC another one takes temporary values: databases check uniqueness row by row.

    `held` has the id of the device that had a value before, for each field.
    """
    taken_from = {
        pk
        for device in changed
        for field in UNIQUE_MESSAGES
        if (pk := held[field].get(getattr(device, field), device.pk)) != device.pk
    }
    ids = sorted(taken_from & {device.pk for device in changed})
    if ids:
        temporary = [f"~{pk}~{secrets.token_hex(8).upper()}" for pk in ids]
        bulk.update(Device, ids, dict.fromkeys(UNIQUE_MESSAGES, temporary))


def _find_one(devices: DeviceQuerySet, precondition: Callable[[Device], bool], *, lock: bool) -> Device:
    device = devices.with_hospitals(lock=lock).get()
    if not precondition(device):
        raise PreconditionFailed(device)
    return device


def _apply(device: Device, item: DeviceData, by_name: Mapping[str | None, Hospital | None]) -> bool:
    """Set on the device what the draft says; return whether anything differed."""
    new: dict[str, Any] = {**item}
    if "device_holder" in item:
        new["device_holder"] = by_name[item["device_holder"]]
    changed = {field: value for field, value in new.items() if getattr(device, field) != value}
    for field, value in changed.items():
        setattr(device, field, value)
    return bool(changed)
