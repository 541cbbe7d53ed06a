"""Dry runs: what a verb of the registry would return or refuse. They write nothing, and lock nothing."""

from collections.abc import Callable, Sequence

from devices import hospitals, registry
from devices.drafts import Draft
from devices.models import Device, DeviceQuerySet
from devices.origin import Origin
from devices.problems import Problem, refuse, without_index
from devices.registry import Registered
from devices.validation import find_problems

NO_ID = 0  # of a device that is not registered


def register(drafts: Sequence[Draft], origin: Origin, malformed: Sequence[Problem] = ()) -> Registered:
    """Return what `registry.register` would; no device has an id.

    Raises:
        Refused: as `registry.register`.
    """
    refuse(find_problems(drafts, origin, malformed=malformed))
    return insert(drafts, origin)


def insert(drafts: Sequence[Draft], origin: Origin) -> Registered:
    by_name = hospitals.find(draft.get("device_holder") for draft in drafts)
    return registry.new_devices([NO_ID] * len(drafts), drafts, by_name, origin)


def update(
    devices: DeviceQuerySet,
    draft: Draft,
    origin: Origin,
    expected: Callable[[Device], bool] = registry.anything,
    malformed: Sequence[Problem] = (),
) -> Device:
    """Return the device as `registry.update` would leave it.

    Raises:
        Device.DoesNotExist, Outdated, Refused: as `registry.update`.
    """
    device = _find(devices, expected)
    refuse(without_index(find_problems([draft], origin, malformed=malformed, known={0: device})))
    change([(device, draft)], origin)
    return device


def change(changes: Sequence[tuple[Device, Draft]], _origin: Origin) -> list[Device]:
    by_name = hospitals.find(draft.get("device_holder") for _device, draft in changes)
    return registry.apply_drafts(changes, by_name)


def retire_one(devices: DeviceQuerySet, origin: Origin, expected: Callable[[Device], bool] = registry.anything) -> None:
    """Find the device that `registry.retire_one` would take out of the registry.

    Raises:
        Device.DoesNotExist, Outdated: as `registry.retire_one`.
    """
    _find(devices, expected)


def _find(devices: DeviceQuerySet, expected: Callable[[Device], bool]) -> Device:
    # With its hospital: the hospital may be merged before another statement could read it.
    return registry.expected_device(devices.select_related("device_holder"), expected)
