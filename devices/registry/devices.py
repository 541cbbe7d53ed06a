"""The functions that write devices: register, update, transfer, retire, restore.

The API, the admin, imports and commands write devices only with these functions; `hospitals.merge` also changes the
hospital of devices. Each writes the devices with their history, in one transaction (`insert` and `apply_changes`: in
that of the caller), and only in the actor's scope. If it rejects something, it raises ValidationFailed with every
problem (validation.py). If a function has `dry_run`, it then returns or raises the same, but writes and locks nothing.
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
from devices.registry.device_fields import REQUIRED_FIELDS, DeviceData
from devices.registry.hospital_checks import out_of_scope
from devices.registry.validation import UNIQUE_MESSAGES, find_problems
from devices.values.device_types import DeviceType
from devices.values.error_codes import AdminErrorCode
from devices.values.errors import DUPLICATE, FieldError, ValidationFailed, raise_error
from devices.values.hospital_names import fold_name

NO_ID = 0  # the id of a device that a dry run would register


@dataclass(frozen=True, slots=True)
class RegisteredDevices:
    """New devices, stored by column because there can be 10,000 of them. All sequences have the same order."""

    ids: Sequence[int]
    items: Sequence[DeviceData]
    hospitals: Sequence[Hospital | None]
    at: datetime

    def devices(self) -> list[Device]:
        """Return the devices as model instances."""
        return [
            Device(**(item | {"id": pk, "device_holder": hospital, "created_at": self.at, "updated_at": self.at}))
            for pk, item, hospital in zip(self.ids, self.items, self.hospitals, strict=True)
        ]


@atomic_with_retry
def register(
    items: Sequence[DeviceData], actor: Actor, malformed: Sequence[FieldError] = (), *, dry_run: bool = False
) -> RegisteredDevices:
    """Register all devices of the list, or none.

    malformed: the problems that `device_fields.validate` has found in the items. If there are any, nothing is
        registered.

    A device without `device_holder` gets the only hospital of the scope, or no hospital. The number of queries does not
    depend on the number of items.

    Raises:
        ValidationFailed: with every problem of the list.
    """
    raise_error(find_problems(items, actor, malformed=malformed, is_write=not dry_run))
    with explained_by(lambda: find_problems(items, actor)):
        return insert(items, actor, dry_run=dry_run)


def insert(items: Sequence[DeviceData], actor: Actor, *, dry_run: bool = False) -> RegisteredDevices:
    """Insert valid devices, their history, and hospitals with new names.

    Raises:
        IntegrityError: another writer was faster.
    """
    by_name, default, at = _get_hospitals(items, actor, dry_run=dry_run), actor.scope.default_hospital, now_ms()
    of_devices = [default or by_name[item.get("device_holder")] for item in items]
    if dry_run:
        return RegisteredDevices([NO_ID] * len(items), items, of_devices, at)
    columns: dict[str, list[Any]] = {field: [item[field] for item in items] for field in REQUIRED_FIELDS}  # type: ignore[literal-required]
    columns["device_holder_id"] = [hospital and hospital.pk for hospital in of_devices]
    ids = bulk.insert(Device, columns, {"created_at": at, "updated_at": at})
    recording.record(Device, ids, recording.CREATED, actor)
    return RegisteredDevices(ids, items, of_devices, at)


class PreconditionFailed(Exception):
    """The device does not meet the caller's precondition, so nothing was written. `device` is the current version."""

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
    """Set the fields of the only device of the query set to the values of the item. Other fields stay the same.

    If nothing changes, no history is written, and `updated_at` stays the same.

    Raises:
        Device.DoesNotExist: the query set is empty.
        PreconditionFailed: `precondition` returned False for the locked device.
        ValidationFailed: with every problem of the item.
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
    """Transfer the devices to the hospital (None: to no hospital). Return how many devices were not there before.

    Raises:
        ValidationFailed: the hospital is out of scope.
    """
    if not actor.scope.allows(hospital.pk if hospital else None):
        raise ValidationFailed([out_of_scope(actor)])
    return _assign(devices, actor, device_holder=hospital)


@atomic_with_retry
def change_type(devices: DeviceQuerySet, device_type: DeviceType, actor: Actor) -> int:
    """Set the type of the devices. Return how many devices had another type before."""
    return _assign(devices, actor, device_type=device_type)


@atomic_with_retry
def retire(devices: DeviceQuerySet, actor: Actor) -> int:
    """Retire the devices, and return their number. Their history stays."""
    return _retire(devices.lock(), actor)


@atomic_with_retry
def retire_one(
    devices: DeviceQuerySet,
    actor: Actor,
    precondition: Callable[[Device], bool] = lambda _device: True,
    *,
    dry_run: bool = False,
) -> None:
    """Retire the only device of the query set. Its history stays.

    Raises:
        Device.DoesNotExist: the query set is empty.
        PreconditionFailed: `precondition` returned False for the locked device.
    """
    device = _find_one(devices, precondition, lock=not dry_run)
    if not dry_run:
        _retire([device.pk], actor)


@atomic_with_retry
def restore(device_ids: Sequence[int], actor: Actor) -> list[Device]:
    """Restore retired devices with their old ids and values: all of them, or none.

    Raises:
        ValidationFailed: a device is not retired or not in scope, or another device now has its name or MAC address.
            The message then contains the name of the device.
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
    """Set the fields of each device to the values of its item. Return the devices that have changed.

    The caller has validated the items and locked the devices. Devices of the list can exchange names and MAC addresses.

    Raises:
        IntegrityError: another writer was faster.
    """
    by_name = _get_hospitals([item for _device, item in changes], actor, dry_run=dry_run)
    owners = {field: {getattr(device, field): device.pk for device, _item in changes} for field in UNIQUE_MESSAGES}
    changed = [device for device, item in changes if _apply(device, item, by_name)]
    at = now_ms()
    for device in changed:
        device.touch(at)
    if not changed or dry_run:
        return changed
    _free_exchanged_values(changed, owners)
    columns = ("device_name", "device_mac", "device_type", "device_holder_id", "updated_at")
    ids = [device.pk for device in changed]
    bulk.update(Device, ids, {column: [getattr(device, column) for device in changed] for column in columns})
    recording.record(Device, ids, recording.CHANGED, actor)
    return changed


def _get_hospitals(items: Iterable[DeviceData], actor: Actor, *, dry_run: bool) -> dict[str | None, Hospital | None]:
    """Return the hospital of each `device_holder` of the items. Register hospitals with new names."""
    names = dict.fromkeys(item.get("device_holder") for item in items)
    found = hospitals.get_or_create(names, actor, dry_run=dry_run)
    return {name: None if name is None else found[fold_name(name)] for name in names}


def _retire(locked: Sequence[int], actor: Actor) -> int:
    """Retire the devices with these ids, which the caller has locked, and return their number."""
    recording.record(Device, locked, recording.DELETED, actor)
    bulk.delete(Device, locked)
    return len(locked)


def _assign(devices: DeviceQuerySet, actor: Actor, **value: Hospital | DeviceType | None) -> int:
    """Set a field of all devices to the value. Return how many devices had another value."""
    changed = devices.assign(now_ms(), **value)
    recording.record(Device, changed, recording.CHANGED, actor)
    return len(changed)


def _free_exchanged_values(changed: Sequence[Device], owners: Mapping[str, Mapping[str, int]]) -> None:
    """Write temporary values to the devices whose name or MAC address another device of the list will get.

    This is necessary because databases check uniqueness row by row. `owners` has, for each field, the id of the device
    that had a value before.
    """
    previous_owners = {
        pk
        for device in changed
        for field in UNIQUE_MESSAGES
        if (pk := owners[field].get(getattr(device, field), device.pk)) != device.pk
    }
    ids = sorted(previous_owners & {device.pk for device in changed})
    if ids:
        temporary = [f"~{pk}~{secrets.token_hex(8).upper()}" for pk in ids]
        bulk.update(Device, ids, dict.fromkeys(UNIQUE_MESSAGES, temporary))


def _find_one(devices: DeviceQuerySet, precondition: Callable[[Device], bool], *, lock: bool) -> Device:
    """Return the only device of the query set with its hospital, after the check of the precondition."""
    device = devices.with_hospitals(lock=lock).get()
    if not precondition(device):
        raise PreconditionFailed(device)
    return device


def _apply(device: Device, item: DeviceData, by_name: Mapping[str | None, Hospital | None]) -> bool:
    """Set the attributes of the device to the values of the item. Return whether there was a difference."""
    new: dict[str, Any] = {**item}
    if "device_holder" in item:
        new["device_holder"] = by_name[item["device_holder"]]
    changed = {field: value for field, value in new.items() if getattr(device, field) != value}
    for field, value in changed.items():
        setattr(device, field, value)
    return bool(changed)
