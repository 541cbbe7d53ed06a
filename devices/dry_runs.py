"""Dry runs: what a verb of the registry would return or refuse. They write nothing, and lock nothing.

Each makes the checks of its verb. What the database refuses of a write, `conflicts.taken` finds beforehand.
"""

from collections.abc import Callable, Mapping, Sequence

from devices import conflicts, registry
from devices.drafts import Draft
from devices.hospital_names import find_hospitals
from devices.models import Device, DeviceQuerySet, Hospital, now
from devices.origin import Origin
from devices.problems import Problem, Refused
from devices.registry import Registered

NO_ID = 0  # of a device that is not registered


def register(drafts: Sequence[Draft], origin: Origin) -> Registered:
    """Return what `registry.register` would; no device has an id.

    Raises:
        Refused: as `registry.register`.
    """
    registry.check_new(drafts, origin, compared=True)
    _refuse(conflicts.taken(drafts, origin))
    return registered(drafts, find_hospitals(registry.names_of(drafts)), origin)


def registered(drafts: Sequence[Draft], hospitals: Mapping[str, Hospital], origin: Origin) -> Registered:
    return Registered([NO_ID] * len(drafts), drafts, registry.holders_of(drafts, hospitals, origin), now())


def update(
    devices: DeviceQuerySet,
    changes: Draft,
    origin: Origin,
    expected: Callable[[Device], bool] = registry.anything,
) -> Device:
    """Return the device as `registry.update` would leave it.

    Raises:
        Device.DoesNotExist, Outdated, Refused: as `registry.update`.
    """
    device = _find(devices, expected)
    try:
        registry.check_changes([(device, changes)], origin, compared=True)
        _refuse(conflicts.taken([changes], origin, {device.pk: 0}))
    except Refused as refused:
        raise Refused(registry.unlisted(refused.problems)) from refused
    registry.apply_drafts([(device, changes)], find_hospitals(registry.names_of([changes])))
    return device


def retire_one(devices: DeviceQuerySet, origin: Origin, expected: Callable[[Device], bool] = registry.anything) -> None:
    """Find the device that `registry.retire_one` would take out of the registry.

    Raises:
        Device.DoesNotExist, Outdated: as `registry.retire_one`.
    """
    _find(devices, expected)


def _find(devices: DeviceQuerySet, expected: Callable[[Device], bool]) -> Device:
    # With its hospital: the hospital may be merged before another statement could read it.
    return registry.expected_device(devices.select_related("device_holder"), expected)


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise Refused(problems)
