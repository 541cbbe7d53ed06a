"""The verbs of the registry: register, update, transfer, retire, restore.

Every write of a device goes through here, from the API, the admin, an import or a command: in one transaction with
its history, within the reach of whoever asks, and with every problem named if it cannot be.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar, overload

from django.db import DEFAULT_DB_ALIAS, IntegrityError, OperationalError, connection, transaction
from django.db.models import Case, F, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import NullIf
from django.utils.translation import gettext_lazy as _

from devices import sql
from devices.drafts import DeviceType, Draft, fold
from devices.models import ApiKey, Device, DeviceQuerySet, FormerName, Hospital, now
from devices.origin import Origin
from devices.prepared import Parameter, Prepared
from devices.problems import DUPLICATE, FORBIDDEN, UNIQUE, Problem, Refused
from devices.reach import Reach

TAKEN = {
    "device_name": _("A device with this name is already registered."),
    "device_mac": _("A device with this MAC address is already registered."),
}
TWICE = {
    "device_name": _("The device at index %(index)d of this list has the same name."),
    "device_mac": _("The device at index %(index)d of this list has the same MAC address."),
}

LAST_CHANGE = Device.history.filter(id=OuterRef("pk")).order_by("-history_id")
DEVICE_COLUMNS = ("id", "device_name", "device_mac", "device_type", "device_holder_id", "created_at", "updated_at")
HOSPITAL_COLUMNS = [field.attname for field in Hospital._meta.concrete_fields]
HOLDER = Device._meta.get_field("device_holder")

INSTANT = timedelta(milliseconds=1)  # `updated_at` grows with every change, also when the clock was set back

P = ParamSpec("P")
R = TypeVar("R")

ADDED, CHANGED, REMOVED = "+", "~", "-"


def _at_last_change(field: str) -> Subquery:
    return Subquery(LAST_CHANGE.values(field)[:1])


# What history tells of a device as it was before a change, by the kind of the change. See models.DeviceChangeRecord.
NOTHING = dict.fromkeys(("history_holder_before_id", "history_name_before", "history_mac_before"))
HELD = {"history_holder_before_id": _at_last_change("device_holder_id")}
REPLACED = {
    "history_name_before": NullIf(_at_last_change("device_name"), F("device_name")),
    "history_mac_before": NullIf(_at_last_change("device_mac"), F("device_mac")),
}
BEFORE: Mapping[str, Mapping[str, Any]] = {ADDED: NOTHING, CHANGED: HELD | REPLACED, REMOVED: NOTHING | HELD}
RESTORED = "restored"  # the change reason that tells a restored device from a new one

DEADLOCK = "40P01"  # https://www.postgresql.org/docs/current/errcodes-appendix.html
ATTEMPTS = 5


def in_one_transaction(verb: Callable[P, R]) -> Callable[P, R]:
    """Run the verb in a transaction, and again if another writer was in the way and may be gone by now.

    That is: PostgreSQL ended it to resolve a deadlock, or refused a row for another that has vanished meanwhile.
    Who tries again waits for the others who do, or lists that overlap would go on ending each other.
    Within somebody else's transaction it is only a part of it: that transaction is lost, and theirs to repeat.
    """

    @wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        attempts = 1 if connection.in_atomic_block else ATTEMPTS
        for attempt in range(1, attempts + 1):
            try:
                with transaction.atomic():
                    if attempt > 1:
                        sql.queue_up()
                    return verb(*args, **kwargs)
            except IntegrityError:
                if attempt == attempts:
                    raise
            except OperationalError as error:
                if getattr(error.__cause__, "sqlstate", None) != DEADLOCK or attempt == attempts:
                    raise
        raise AssertionError("the last attempt returns or raises")

    return run


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


@in_one_transaction
def register(drafts: Sequence[Draft], origin: Origin) -> Registered:
    """Register all of the devices or none, and return them in the order of the drafts.

    Drafts are complete (drafts.read); a holder left out is the key's hospital, or none. A hospital named for the
    first time is registered with its devices. The number of queries does not grow with the number of drafts.

    Raises:
        Refused: a draft repeats another, is beyond the key's reach, or is taken.
    """
    if problems := twice(drafts) + beyond_reach(drafts, origin.reach, new=True):
        raise Refused(problems + taken(drafts))
    names = [draft.get("device_holder") for draft in drafts]
    hospitals = name_hospitals(names, origin)
    by_name = {name: origin.reach.own or _called(name, hospitals) for name in set(names)}
    holders = [by_name[name] for name in names]
    at = now()
    try:
        with transaction.atomic():
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
    except IntegrityError as error:
        raise _refusal(taken(drafts), error) from error
    record(Device, ids, ADDED, origin)
    return Registered(ids, drafts, holders, at)


class Outdated(Exception):
    """The device is no longer what whoever wants to change it has seen; nothing was written."""

    def __init__(self, device: Device) -> None:
        self.device = device
        super().__init__(f"device {device.pk}")


def _anything(_device: Device) -> bool:
    return True


@in_one_transaction
def update(
    devices: DeviceQuerySet, changes: Draft, origin: Origin, expected: Callable[[Device], bool] = _anything
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
        raise Refused(_unlisted(refused.problems)) from refused
    return device


@in_one_transaction
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
    record(Device, _locked(devices), CHANGED, origin)


@in_one_transaction
def retire(devices: DeviceQuerySet, origin: Origin) -> int:
    """Take the devices out of the registry; return how many there were. Their history stays."""
    ids = _locked(devices)
    record(Device, ids, REMOVED, origin)
    sql.delete(Device, ids)
    return len(ids)


@in_one_transaction
def retire_one(devices: DeviceQuerySet, origin: Origin, expected: Callable[[Device], bool] = _anything) -> None:
    """Take the one device of the query set out of the registry. Its history stays.

    Raises:
        Device.DoesNotExist: the query set has none.
        Outdated: the device, locked by then, is not as expected.
    """
    retire(Device.objects.filter(pk=_locked_device(devices, expected).pk), origin)


@in_one_transaction
def restore(device_id: int, origin: Origin) -> Device:
    """Bring a retired device back as it was, under its old id.

    Raises:
        Device.DoesNotExist: no device with this id, and within the reach, was retired.
        Refused: its name or its MAC is another device's by now.
    """
    last = Device.history.filter(id=device_id).order_by("history_id").last()
    holder = Hospital.objects.successor(last.device_holder_id) if last else None
    if last is None or last.history_type != REMOVED or not origin.reach.includes(holder.pk if holder else None):
        raise Device.DoesNotExist(f"No retired device has the id {device_id}.")
    device: Device = last.instance
    device.device_holder = holder  # None also where its hospital is gone for good
    device.updated_at = max(now(), device.updated_at + INSTANT)
    try:
        with transaction.atomic():
            Device.objects.bulk_create([device])
    except IntegrityError as error:
        draft = Draft(device_name=device.device_name, device_mac=device.device_mac)
        raise _refusal(_unlisted(taken([draft])), error) from error
    record(Device, [device.pk], ADDED, origin, history_change_reason=RESTORED)
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


def was_retired(device_id: int, reach: Reach) -> bool:
    """Tell whether this was a device within the reach, until somebody took it out of the registry.

    One query, whosever it is or was: how long the answer takes tells nothing of what is beyond the reach.
    """
    last = Device.history.filter(id=device_id).order_by("-history_id").values("pk")[:1]
    gone = Device.history.filter(pk=Subquery(last), history_type=REMOVED)
    if reach.ids is not None:
        merged = FormerName.objects.filter(hospital__in=reach.ids).values("former_id")
        gone = gone.filter(Q(device_holder__in=reach.ids) | Q(device_holder__in=merged))
    return bool(gone.exists())


def name_hospitals(names: Iterable[str | None], origin: Origin) -> dict[str, Hospital]:
    """Return the hospitals of these names by their folded names, after registering those seen for the first time."""
    spellings: dict[str, str] = {}
    for name in dict.fromkeys(names):  # of a thousand devices most have the same
        if name is not None:
            spellings.setdefault(fold(name), name)
    if not spellings:
        return {}
    known = _called_at_present(spellings)
    if spellings.keys() - known.keys():
        known = Hospital.objects.called(spellings)
    if spellings.keys() - known.keys():
        sql.queue_up()  # behind whoever is renaming or merging: the name may be a former one by then
        missing = sorted(spellings.keys() - Hospital.objects.called(spellings).keys())
        at = now()
        ids = sql.insert(
            Hospital,
            {"name": [spellings[folded] for folded in missing], "name_folded": missing},
            {"created_at": at, "updated_at": at},
            ignore_conflicts=True,
        )
        record(Hospital, ids, ADDED, origin)
        known = Hospital.objects.called(spellings)
    return known


@cache
def _hospitals() -> Prepared:
    rows = Hospital.objects.filter(name_folded__in=sql.any_text(Parameter("names")))
    return Prepared(rows.values_list(*HOSPITAL_COLUMNS))


def _called_at_present(names: Iterable[str]) -> dict[str, Hospital]:
    """Return the hospitals of these folded names: what HospitalQuerySet.called finds without looking further."""
    rows = _hospitals().rows(names=sql.json_list(list(names)))
    found = (Hospital.from_db(DEFAULT_DB_ALIAS, HOSPITAL_COLUMNS, row) for row in rows)
    return {hospital.name_folded: hospital for hospital in found}


def record(
    model: type[Device] | type[Hospital] | type[ApiKey],
    ids: Sequence[int],
    history_type: str,
    origin: Origin,
    history_change_reason: str | None = None,
) -> None:
    """Write the rows, as they stand, into the model's history.

    Of devices that are changed or removed, the caller has locked the rows: the order of a device's changes is theirs.
    """
    if not ids:
        return
    more = BEFORE[history_type] if model is Device else {}
    sql.record_history(
        model,
        ids,
        history_type,
        now(),
        history_change_reason=history_change_reason,
        history_user_id=origin.user_id,
        history_api_key_id=origin.api_key and origin.api_key.pk,
        history_through=origin.through.value,
        history_address=origin.address,
        history_request_id=origin.request_id,
        **more,
    )


def twice(drafts: Sequence[Draft]) -> list[Problem]:
    """Return a problem for each draft that has the name or the MAC of one before it."""
    problems = []
    for field, same in TWICE.items():
        values = [draft[field] for draft in drafts if field in draft]  # type: ignore[literal-required]
        if len(set(values)) == len(values):
            continue
        first: dict[object, int] = {}
        for index, draft in enumerate(drafts):
            if field not in draft:
                continue
            earlier = first.setdefault(draft.get(field), index)
            if earlier != index:
                problems.append(Problem(field, DUPLICATE, same % {"index": earlier}, index))
    return problems


def beyond_reach(drafts: Sequence[Draft], reach: Reach, *, new: bool = False) -> list[Problem]:
    """Return a problem for each draft whose holder is none of the hospitals within the reach.

    A draft of a new device that names no holder means the only hospital there is; of several it must name one.
    """
    if reach.hospitals is None:
        return []
    must_name = new and reach.own is None
    named = {
        index: fold(draft.get("device_holder") or "")
        for index, draft in enumerate(drafts)
        if "device_holder" in draft or must_name
    }
    allowed = {hospital.name_folded for hospital in reach.hospitals}
    if strange := set(named.values()) - allowed:
        allowed |= Hospital.objects.within(reach).called(strange).keys()
    return [
        Problem("device_holder", FORBIDDEN, reach.refusal, index)
        for index, name in named.items()
        if name not in allowed
    ]


def taken(drafts: Sequence[Draft], owners: Mapping[int, int] | None = None) -> list[Problem]:
    """Return a problem for each name and MAC that a registered device has, and keeps.

    `owners` maps a device's id to the place of the draft that is about it: a device may keep what it has, or give it up
    to another draft by having another one itself.
    A problem never tells which device it is, nor whose.
    """
    owners = owners or {}
    found = [
        Device.objects.filter(**{f"{field}__in": sql.any_text([draft[field] for draft in drafts if field in draft])})  # type: ignore[literal-required]
        for field in TAKEN
    ]
    columns = ("pk", *TAKEN)
    holders: dict[str, dict[str, int]] = {field: {} for field in TAKEN}
    for pk, *values in found[0].values_list(*columns).union(*(more.values_list(*columns) for more in found[1:])):
        for field, value in zip(TAKEN, values, strict=True):
            holders[field][value] = pk
    return [
        Problem(field, UNIQUE, message, index)
        for index, draft in enumerate(drafts)
        for field, message in TAKEN.items()
        if (pk := holders[field].get(draft.get(field, ""))) is not None  # type: ignore[call-overload]
        and ((own := owners.get(pk)) is None or (own != index and field not in drafts[own]))
    ]


def change(changes: Sequence[tuple[Device, Draft]], origin: Origin) -> list[Device]:
    """Give each device, which the caller has locked, its own new values; return those that were otherwise.

    Raises:
        Refused: as update_many.
    """
    drafts = [draft for _device, draft in changes]
    owners = {device.pk: index for index, (device, _draft) in enumerate(changes)}
    if problems := twice(drafts) + beyond_reach(drafts, origin.reach):
        raise Refused(problems + taken(drafts, owners))
    hospitals = name_hospitals((draft.get("device_holder") for draft in drafts), origin)
    held = {field: {getattr(device, field): device.pk for device, _draft in changes} for field in TAKEN}
    changed = [device for device, draft in changes if _apply(device, draft, hospitals)]
    if not changed:
        return []
    at = now()
    for device in changed:
        device.updated_at = max(at, device.updated_at + INSTANT)
    try:
        with transaction.atomic():
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
                {},
            )
    except IntegrityError as error:
        raise _refusal(taken(drafts, owners), error) from error
    record(Device, [device.pk for device in changed], CHANGED, origin)
    return changed


def _give_all(devices: DeviceQuerySet, origin: Origin, **value: Hospital | DeviceType | None) -> int:
    ids = _locked(devices.exclude(**value))
    at = now()
    updated_at = Case(When(updated_at__gte=at, then=F("updated_at") + INSTANT), default=Value(at))
    Device.objects.filter(pk__in=sql.any_id(ids)).update(**value, updated_at=updated_at)
    record(Device, ids, CHANGED, origin)
    return len(ids)


def _step_aside(changed: Sequence[Device], held: Mapping[str, Mapping[str, int]]) -> None:
    """Free the names and MACs that devices take from each other, for a moment: databases compare row by row.

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
        nobodys = [f"~{pk}~{secrets.token_hex(8).upper()}" for pk in ids]
        sql.update(Device, ids, dict.fromkeys(TAKEN, nobodys), {})


def _refusal(problems: list[Problem], error: IntegrityError) -> Exception:
    """Explain the database's refusal; unexplained (what was in the way has gone meanwhile), the error itself."""
    return Refused(problems) if problems else error


def _unlisted(problems: list[Problem]) -> list[Problem]:
    return [replace(problem, index=None) for problem in problems]


def _locked_device(devices: DeviceQuerySet, expected: Callable[[Device], bool]) -> Device:
    # Not with its hospital: PostgreSQL would lay the hospital of before beside a device that it had to wait for.
    device = devices.select_related(None).select_for_update(of=("self",)).get()
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
