"""The verbs of the registry: register, update, transfer, retire, restore.

Every write of a device goes through here, from the API, the admin, an import or a command: in one transaction with
its history, within the reach of whoever asks, and with every problem named if it cannot be.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, overload

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Case, F, Value, When
from django.utils.translation import gettext_lazy as _

from devices import conflicts, history, sql
from devices.drafts import DeviceType, Draft, fold
from devices.hospital_names import name_hospitals
from devices.models import Device, DeviceQuerySet, Hospital, now
from devices.origin import Origin
from devices.problems import FORBIDDEN, Problem, Refused
from devices.transactions import in_one_transaction, in_one_transaction_or

DEVICE_COLUMNS = ("id", "device_name", "device_mac", "device_type", "device_holder_id", "created_at", "updated_at")
HOLDER = Device._meta.get_field("device_holder")

INSTANT = timedelta(milliseconds=1)  # `updated_at` grows with every change, also when the clock was set back


@dataclass(frozen=True, slots=True)
class Registered(Sequence[Device]):
    """The devices of these drafts, in their order. Each is made when it is looked at: they may be 10,000."""

    ids: Sequence[int]
    drafts: Sequence[Draft]
    holders: Sequence[Hospital | None]
    at: datetime

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> Device: ...
    @overload
    def __getitem__(self, place: slice) -> list[Device]: ...
    def __getitem__(self, place: int | slice) -> Device | list[Device]:
        if isinstance(place, slice):
            return [self[index] for index in range(*place.indices(len(self)))]
        draft, holder = self.drafts[place], self.holders[place]
        texts = draft["device_name"], draft["device_mac"], draft["device_type"]
        values = (self.ids[place], *texts, holder and holder.pk, self.at, self.at)
        device = Device.from_db(DEFAULT_DB_ALIAS, DEVICE_COLUMNS, values)
        HOLDER.set_cached_value(device, holder)
        return device


def _taken(drafts: Sequence[Draft], origin: Origin, **_more: object) -> list[Problem]:
    return conflicts.taken(drafts, origin)


@in_one_transaction_or(_taken)
def register(drafts: Sequence[Draft], origin: Origin, *, compared: bool = False) -> Registered:
    """Register all of the devices or none, and return them in the order of the drafts.

    Drafts are complete (drafts.read); a holder left out is the key's hospital, or none. A hospital named for the
    first time is registered with its devices. The number of queries does not grow with the number of drafts.
    `compared`: the caller has compared the drafts with the registered devices (conflicts.taken).

    Raises:
        Refused: a draft repeats another, is beyond the key's reach, or is taken.
    """
    check_new(drafts, origin, compared=compared)
    holders = holders_of(drafts, name_hospitals(names_of(drafts), origin), origin)
    at = now()
    ids = sql.insert(
        Device,
        {
            "device_name": [draft["device_name"] for draft in drafts],
            "device_mac": [draft["device_mac"] for draft in drafts],
            "device_type": [draft["device_type"] for draft in drafts],
            "device_holder_id": [holder and holder.pk for holder in holders],
        },
        {"created_at": at, "updated_at": at},
    )
    history.record(Device, ids, history.ADDED, origin)
    return Registered(ids, drafts, holders, at)


def check_new(drafts: Sequence[Draft], origin: Origin, *, compared: bool = False) -> None:
    """Check new devices against each other and the scope. If a check fails, report taken names and MACs as well.

    Raises:
        Refused: a draft repeats another, is outside the scope, or may not be compared (unless it was: `compared`).
    """
    if problems := conflicts.twice(drafts) + conflicts.beyond_reach(drafts, origin.reach, new=True):
        raise Refused(problems + conflicts.taken(drafts, origin))
    if not compared and (problems := conflicts.not_comparable(drafts, origin)):
        raise Refused(problems)


def names_of(drafts: Iterable[Draft]) -> list[str | None]:
    """Return the name of the hospital in each draft, None for none."""
    return [draft.get("device_holder") for draft in drafts]


def holders_of(drafts: Sequence[Draft], hospitals: Mapping[str, Hospital], origin: Origin) -> list[Hospital | None]:
    """Return the hospital of each new device: the key's own, or else the one that the draft names."""
    names = names_of(drafts)
    by_name = {name: origin.reach.own or _called(name, hospitals) for name in set(names)}
    return [by_name[name] for name in names]


class Outdated(Exception):
    """The device is no longer what whoever wants to change it has seen; nothing was written."""

    def __init__(self, device: Device) -> None:
        self.device = device
        super().__init__(f"device {device.pk}")


def anything(_device: Device) -> bool:
    return True


def _taken_of_one(
    devices: DeviceQuerySet, changes: Draft, origin: Origin, *_others: object, **_more: object
) -> list[Problem]:
    owners = dict.fromkeys(devices.values_list("pk", flat=True), 0)
    if not owners:  # gone by now, as the next attempt will tell
        return []
    return unlisted(conflicts.taken([changes], origin, owners))


@in_one_transaction_or(_taken_of_one)
def update(
    devices: DeviceQuerySet, changes: Draft, origin: Origin, expected: Callable[[Device], bool] = anything
) -> Device:
    """Give the one device of the query set the values of the draft; what the draft leaves out stays.

    A draft that changes nothing leaves no trace: no history, and `updated_at` stays.

    Raises:
        Device.DoesNotExist: the query set has none.
        Outdated: the device, locked by then, is not as expected.
        Refused: the name or the MAC is another device's, or the holder is beyond the key's reach.
    """
    device = _locked_device(devices, expected)
    try:
        change([(device, changes)], origin)
    except Refused as refused:
        raise Refused(unlisted(refused.problems)) from refused
    return device


def _taken_of_many(changes: Sequence[tuple[int, Draft]], origin: Origin) -> list[Problem]:
    owners = {pk: index for index, (pk, _draft) in enumerate(changes)}
    return conflicts.taken([draft for _pk, draft in changes], origin, owners)


@in_one_transaction_or(_taken_of_many)
def update_many(changes: Sequence[tuple[int, Draft]], origin: Origin) -> int:
    """Give the device of each id its own new values; return how many differ from what they were.

    Devices of the sequence may take names and MACs from each other.

    Raises:
        KeyError: no device has one of the ids.
        Refused: a name or a MAC is another device's, which keeps it; `index` is the place in the sequence.
    """
    ids = sql.any_id([pk for pk, _draft in changes])
    devices = Device.objects.filter(pk__in=ids).select_related("device_holder").select_for_update(of=("self",))
    by_id = {device.pk: device for device in devices.order_by("pk")}
    return len(change([(by_id[pk], draft) for pk, draft in changes], origin))


@in_one_transaction
def transfer(devices: DeviceQuerySet, hospital: Hospital | None, origin: Origin) -> int:
    """Make the hospital (or nobody) the holder of these devices; return how many it did not hold before.

    Raises:
        Refused: the hospital is beyond the reach.
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
    """Write a change of these devices, although none of their own values changed: their hospital is called otherwise.

    Whoever keeps a copy of what is told of them hears of it in this way.
    """
    history.record(Device, _locked(devices), history.CHANGED, origin)


@in_one_transaction
def retire(devices: DeviceQuerySet, origin: Origin) -> int:
    """Take the devices out of the registry; return how many there were. Their history stays."""
    return _retire(_locked(devices), origin)


@in_one_transaction
def retire_one(devices: DeviceQuerySet, origin: Origin, expected: Callable[[Device], bool] = anything) -> None:
    """Take the one device of the query set out of the registry. Its history stays.

    Raises:
        Device.DoesNotExist: the query set has none.
        Outdated: the device, locked by then, is not as expected.
    """
    _retire([_locked_device(devices, expected).pk], origin)


def _taken_of_retired(device_id: int, origin: Origin) -> list[Problem]:
    last = Device.history.filter(id=device_id).latest("history_id")
    return unlisted(conflicts.taken([_draft_of(last)], origin))


def _draft_of(last: Any) -> Draft:
    return Draft(device_name=last.device_name, device_mac=last.device_mac)


@in_one_transaction_or(_taken_of_retired)
def restore(device_id: int, origin: Origin) -> Device:
    """Bring a retired device back as it was, under its old id.

    Raises:
        Device.DoesNotExist: no device with this id, and within the reach, was retired.
        Refused: its name or its MAC is another device's by now.
    """
    last = Device.history.filter(id=device_id).order_by("history_id").last()
    holder = Hospital.objects.successor(last.device_holder_id) if last else None
    if last is None or last.history_type != history.REMOVED or not origin.reach.includes(holder.pk if holder else None):
        raise Device.DoesNotExist(f"No retired device has the id {device_id}.")
    if problems := conflicts.not_comparable([_draft_of(last)], origin):
        raise Refused(unlisted(problems))
    device: Device = last.instance
    device.device_holder = holder  # None also where its hospital is gone for good
    device.updated_at = max(now(), device.updated_at + INSTANT)
    Device.objects.bulk_create([device])
    history.record(Device, [device.pk], history.ADDED, origin, history_change_reason=history.RESTORED)
    return device


@in_one_transaction
def restore_many(device_ids: Sequence[int], origin: Origin) -> int:
    """Bring all of these retired devices back or none; return how many.

    Raises:
        Refused: something of one of them cannot be had; the message names the device.
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
    if problems:
        raise Refused(problems)
    return len(device_ids)


def change(changes: Sequence[tuple[Device, Draft]], origin: Origin, *, compared: bool = False) -> list[Device]:
    """Give each device, which the caller has locked, its own new values; return those that were otherwise.

    `compared`: as for `register`.

    Raises:
        Refused: the drafts repeat each other, or a holder is beyond the reach.
        IntegrityError: a name or a MAC is another device's.
    """
    check_changes(changes, origin, compared=compared)
    hospitals = name_hospitals(names_of(draft for _device, draft in changes), origin)
    held = {field: {getattr(device, field): device.pk for device, _draft in changes} for field in conflicts.TAKEN}
    changed = apply_drafts(changes, hospitals)
    if not changed:
        return []
    _step_aside(changed, held)
    sql.update(
        Device,
        [device.pk for device in changed],
        {
            "device_name": [device.device_name for device in changed],
            "device_mac": [device.device_mac for device in changed],
            "device_type": [device.device_type for device in changed],
            "device_holder_id": [device.device_holder_id for device in changed],
            "updated_at": [device.updated_at for device in changed],
        },
    )
    history.record(Device, [device.pk for device in changed], history.CHANGED, origin)
    return changed


def check_changes(changes: Sequence[tuple[Device, Draft]], origin: Origin, *, compared: bool = False) -> None:
    """Check changes against each other and the scope. If a check fails, report taken names and MACs as well.

    Raises:
        Refused: the drafts repeat each other, a holder is outside the scope, or a draft may not be compared (unless it
            was: `compared`).
    """
    drafts = [draft for _device, draft in changes]
    owners = {device.pk: index for index, (device, _draft) in enumerate(changes)}
    if problems := conflicts.twice(drafts) + conflicts.beyond_reach(drafts, origin.reach):
        raise Refused(problems + conflicts.taken(drafts, origin, owners))
    if not compared and (problems := conflicts.not_comparable(drafts, origin, owners)):
        raise Refused(problems)


def apply_drafts(changes: Sequence[tuple[Device, Draft]], hospitals: Mapping[str, Hospital]) -> list[Device]:
    """Set on each device what its draft says, and write nothing; return those that were otherwise."""
    changed = [device for device, draft in changes if _apply(device, draft, hospitals)]
    at = now()
    for device in changed:
        device.updated_at = max(at, device.updated_at + INSTANT)
    return changed


def _retire(locked: Sequence[int], origin: Origin) -> int:
    history.record(Device, locked, history.REMOVED, origin)
    sql.delete(Device, locked)
    return len(locked)


def _give_all(devices: DeviceQuerySet, origin: Origin, **value: Hospital | DeviceType | None) -> int:
    ids = _locked(devices.exclude(**value))
    at = now()
    updated_at = Case(When(updated_at__gte=at, then=F("updated_at") + INSTANT), default=Value(at))
    Device.objects.filter(pk__in=sql.any_id(ids)).update(**value, updated_at=updated_at)
    history.record(Device, ids, history.CHANGED, origin)
    return len(ids)


def _step_aside(changed: Sequence[Device], held: Mapping[str, Mapping[str, int]]) -> None:
    """Free the names and MACs that devices take from each other, for a moment: databases compare row by row.

    `held` has the id of the device that had a value before, for each field.
    """
    taken_from = {
        pk
        for device in changed
        for field in conflicts.TAKEN
        if (pk := held[field].get(getattr(device, field), device.pk)) != device.pk
    }
    ids = sorted(taken_from & {device.pk for device in changed})
    if ids:
        nobodys = [f"~{pk}~{secrets.token_hex(8).upper()}" for pk in ids]
        sql.update(Device, ids, dict.fromkeys(conflicts.TAKEN, nobodys))


def unlisted(problems: list[Problem]) -> list[Problem]:
    return [replace(problem, index=None) for problem in problems]


def _locked_device(devices: DeviceQuerySet, expected: Callable[[Device], bool]) -> Device:
    # Not with its hospital: PostgreSQL would lay the hospital of before beside a device that it had to wait for.
    return expected_device(devices.select_related(None).select_for_update(of=("self",)), expected)


def expected_device(devices: DeviceQuerySet, expected: Callable[[Device], bool]) -> Device:
    """Return the one device of the query set.

    Raises:
        Device.DoesNotExist: the query set has none.
        Outdated: the device is not as expected.
    """
    device = devices.get()
    if not expected(device):
        raise Outdated(device)
    return device


def _locked(devices: DeviceQuerySet) -> list[int]:
    return list(devices.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True))


def _called(name: str | None, hospitals: Mapping[str, Hospital]) -> Hospital | None:
    return None if name is None else hospitals[fold(name)]


def _apply(device: Device, draft: Draft, hospitals: Mapping[str, Hospital]) -> bool:
    """Set on the device what the draft says; return whether anything differs from what it was."""
    new = {field: value for field, value in draft.items() if field != "device_holder"}
    if "device_holder" in draft:
        new["device_holder"] = _called(draft["device_holder"], hospitals)
    changed = {field: value for field, value in new.items() if getattr(device, field) != value}
    for field, value in changed.items():
        setattr(device, field, value)
    return bool(changed)
