"""Find, register, change and merge hospitals. The former names of a hospital stay valid as aliases (decision 8).

Existing clients continue to send the old names. Without aliases, the first device that they register after a rename or
a merge would create a new hospital with the old name.
"""

from collections.abc import Iterable, Mapping
from functools import cache

from django.db import DEFAULT_DB_ALIAS, IntegrityError
from django.utils.translation import gettext_lazy as _

from devices.access.actor import Actor
from devices.db import bulk, expressions, locks
from devices.db.compiled import CompiledQuery, Parameter
from devices.db.transactions import atomic_with_retry
from devices.history import recording
from devices.models import CLOCK_STEP, ApiKey, Device, Hospital, HospitalAlias, now_ms
from devices.values.error_codes import AdminErrorCode
from devices.values.errors import UNIQUE, FieldError, ValidationFailed
from devices.values.hospital_names import fold_name

HOSPITAL_MERGED = _("This hospital has been merged into another hospital in the meantime.")
NAME_IN_USE = _("This name belongs, or used to belong, to %(name)s. Merge the two hospitals instead.")
SANDBOX_NOT_MERGED = _("The sandbox cannot be merged with a hospital: its devices are not real.")
COLUMNS = [field.attname for field in Hospital._meta.concrete_fields]


def get_or_create(names: Iterable[str | None], actor: Actor, *, dry_run: bool = False) -> dict[str, Hospital]:
    """Return the hospitals of these names by folded name. Register hospitals with new names. None is ignored.

    A new hospital has `is_new`. In a dry run nothing is written, and a new hospital has no id.

    Raises:
        IntegrityError: a name is unknown, and the actor registers no hospitals. The caller has checked the names, so
            another writer has changed a hospital in the meantime.
    """
    wanted = _fold_names(names)
    if not wanted:
        return {}
    known = _find_by_current_name(wanted)
    if wanted.keys() - known.keys():
        known = Hospital.objects.by_name(wanted)
    if not dry_run and wanted.keys() - known.keys():
        if not actor.registers_hospitals:
            raise IntegrityError("A hospital has changed in the meantime.")
        known = _register_missing(wanted, actor)
    missing = {folded: Hospital(name=wanted[folded], name_folded=folded) for folded in wanted.keys() - known.keys()}
    return known | _mark_new(missing)


def rename(hospital: Hospital, name: str, actor: Actor) -> None:
    """Rename the hospital: see `update`."""
    update(hospital, {"name": name}, actor)


@atomic_with_retry
def update(hospital: Hospital, values: Mapping[str, str], actor: Actor) -> None:
    """Change the name or the contact data of the hospital, and record its history.

    values: normalized texts by field: `name`, and the fields of hospital_fields.CONTACT_FIELDS. Others stay unchanged.

    The old name becomes an alias. The history of the devices gets an entry too, so that clients of the change feed
    receive the new name.

    Raises:
        ValidationFailed: another hospital has or had the name, or the hospital has been merged in the meantime.
    """
    locks.acquire_registry_lock()
    [hospital] = _lock([hospital.pk])
    changed = {field: value for field, value in values.items() if value != getattr(hospital, field)}
    if not changed:
        return
    if "name" in changed:
        changed["name_folded"] = fold_name(changed["name"])
        _release_name(hospital, changed["name_folded"])
    updated_at = max(now_ms(), hospital.updated_at + CLOCK_STEP)
    Hospital.objects.filter(pk=hospital.pk).update(**changed, updated_at=updated_at)
    recording.record(Hospital, [hospital.pk], recording.CHANGED, actor)
    if "name" in changed:
        device_ids = Device.objects.filter(device_holder=hospital).lock()
        recording.record(Device, device_ids, recording.CHANGED, actor)


def _release_name(hospital: Hospital, folded: str) -> None:
    """Make the current name of the hospital an alias, because it gets the name with this folded form.

    If the new name is an alias of the hospital, the row gets the old name. It keeps the id of a merged hospital, whose
    history would otherwise be lost.

    Raises:
        ValidationFailed: another hospital has or had the new name.
    """
    other = Hospital.objects.by_name([folded]).get(folded)
    if other and other != hospital:
        raise ValidationFailed([FieldError("name", UNIQUE, NAME_IN_USE % {"name": other.name})])
    if hospital.name_folded == folded:
        return
    old = {"name": hospital.name, "name_folded": hospital.name_folded}
    if not hospital.former_names.filter(name_folded=folded).update(**old):
        hospital.former_names.create(**old)


@atomic_with_retry
def merge(hospitals: Iterable[Hospital], into: Hospital, actor: Actor) -> dict[str, int]:
    """Merge the hospitals into another one, and delete them. Their names become aliases of it.

    1. Lock all of them in the order of their ids, so that no other transaction registers devices of them.
    2. Move the devices and API keys, and record their history. Move the admins and aliases.
    3. Delete each hospital. Its name becomes an alias with its id.

    Return the numbers of moved `devices`, `admins` and `keys`.

    Raises:
        ValidationFailed: one of the hospitals has been merged in the meantime, or is the sandbox. Otherwise devices of
            patients would be in the sandbox, which is emptied, or sandbox keys would reach them.
    """
    locks.acquire_registry_lock()
    ids = [hospital.pk for hospital in hospitals if hospital.pk != into.pk]
    locked = {row.pk: row for row in _lock([*ids, into.pk])}
    into = locked.pop(into.pk)
    if locked and (into.sandbox or any(hospital.sandbox for hospital in locked.values())):
        raise ValidationFailed([FieldError(None, AdminErrorCode.SANDBOX, SANDBOX_NOT_MERGED)])
    devices = Device.objects.filter(device_holder__in=locked).assign(now_ms(), device_holder=into)
    recording.record(Device, devices, recording.CHANGED, actor)
    keys = list(ApiKey.objects.filter(hospitals__in=locked).distinct())
    for key in keys:
        key.hospitals.add(into)
        key.hospitals.remove(*locked.values())
    recording.record(ApiKey, [key.pk for key in keys], recording.CHANGED, actor)
    admins = [admin for hospital in locked.values() for admin in hospital.admins.all()]
    into.admins.add(*admins)
    for hospital in locked.values():
        hospital.admins.clear()  # sends the signals that record it in the audit log
    HospitalAlias.objects.filter(hospital__in=locked).update(hospital=into)
    recording.record(Hospital, list(locked), recording.DELETED, actor, history_change_reason=f"merged into {into.pk}")
    bulk.delete(Hospital, list(locked))
    for row in locked.values():
        into.former_names.create(name=row.name, name_folded=row.name_folded, former_id=row.pk)
    return {"devices": len(devices), "admins": len(admins), "keys": len(keys)}


def _lock(ids: list[int]) -> list[Hospital]:
    """Lock the hospitals with these ids, and return them in the order of their ids.

    Raises:
        ValidationFailed: one of them no longer exists.
    """
    found = list(Hospital.objects.select_for_update().filter(pk__in=ids).order_by("pk"))
    if len(found) < len(set(ids)):
        raise ValidationFailed([FieldError(None, AdminErrorCode.GONE, HOSPITAL_MERGED)])
    return found


def _fold_names(names: Iterable[str | None]) -> dict[str, str]:
    """Return the names by folded name. Of names with the same folded name, the first is returned."""
    distinct = [name for name in dict.fromkeys(names) if name is not None]  # most devices of a list have the same
    return {fold_name(name): name for name in reversed(distinct)}


@cache
def _by_current_name() -> CompiledQuery:
    rows = Hospital.objects.filter(name_folded__in=expressions.in_texts(Parameter("names")))
    return CompiledQuery(rows.values_list(*COLUMNS))


def _find_by_current_name(names: Iterable[str]) -> dict[str, Hospital]:
    """Return the hospitals whose current folded name is one of these. This is faster than HospitalQuerySet.by_name."""
    rows = _by_current_name().fetch(names=expressions.json_list(list(names)))
    return {row.name_folded: row for row in (Hospital.from_db(DEFAULT_DB_ALIAS, COLUMNS, row) for row in rows)}


def _register_missing(wanted: Mapping[str, str], actor: Actor) -> dict[str, Hospital]:
    """Return the hospitals of these names by folded name. Register those that do not exist."""
    locks.acquire_registry_lock()  # wait for concurrent renames and merges, after which a name may be an alias
    found = Hospital.objects.by_name(wanted)
    missing, at = sorted(wanted.keys() - found.keys()), now_ms()
    if not missing:
        return found
    names = {"name": [wanted[folded] for folded in missing], "name_folded": missing}
    ids = bulk.insert(Hospital, names, {"created_at": at, "updated_at": at})
    recording.record(Hospital, ids, recording.CREATED, actor)
    return found | _mark_new(Hospital.objects.by_name(missing))


def _mark_new(hospitals: dict[str, Hospital]) -> dict[str, Hospital]:
    for hospital in hospitals.values():
        hospital.is_new = True
    return hospitals
