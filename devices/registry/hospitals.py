"""The verbs of hospitals: find or register, rename, merge. A hospital's former names lead to it for good.

Applications in the field send the names that they know. Without the former names, the first device that is registered
after a rename or a merge would bring the old name back as a new hospital.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import cache

from django.db import DEFAULT_DB_ALIAS
from django.utils.translation import gettext_lazy as _

from devices.access.actor import Actor
from devices.db import bulk, expressions, locks
from devices.db.compiled import CompiledQuery, Parameter
from devices.db.transactions import atomic_with_retry
from devices.history import recording
from devices.models import ApiKey, Device, Hospital, HospitalAlias, now_ms
from devices.values.error_codes import AdminErrorCode
from devices.values.errors import UNIQUE, FieldError, ValidationFailed
from devices.values.hospital_names import fold_name

HOSPITAL_GONE = _("This hospital has been merged into another meanwhile.")
NAME_IN_USE = _("This is %(name)s, or was a name of it. Merge the two instead.")
COLUMNS = [field.attname for field in Hospital._meta.concrete_fields]


def get_or_create(names: Iterable[str | None], actor: Actor, *, dry_run: bool = False) -> dict[str, Hospital]:
    """Return the hospitals of these names by folded name; register those that are named for the first time.

    A dry run writes nothing: a new hospital has no id. A caller within a hospital that was stored before names were
    normalized means that one, also if another has the normalized name.
    """
    spellings = _spellings(names)
    if not spellings:
        return {}
    known = _find_by_current_name(spellings)
    if spellings.keys() - known.keys():
        known = Hospital.objects.by_name(spellings)
    if not dry_run and spellings.keys() - known.keys():
        known = _register_missing(spellings, actor)
    known |= {
        folded: Hospital(name=spellings[folded], name_folded=folded) for folded in spellings.keys() - known.keys()
    }
    own = {fold_name(hospital.name): hospital for hospital in actor.scope.hospitals or ()}
    return known | {folded: row for folded, row in own.items() if folded in spellings and folded != row.name_folded}


@atomic_with_retry
def rename(hospital: Hospital, name: str, actor: Actor) -> None:
    """Give the hospital another name; the old one still finds it.

    Raises:
        Refused: another hospital has or had the name, or the hospital has been merged meanwhile.
    """
    locks.acquire_registry_lock()
    [hospital] = _lock([hospital.pk])
    if hospital.name == name:
        return
    other = Hospital.objects.by_name([fold_name(name)]).get(fold_name(name))
    if other and other != hospital:
        raise ValidationFailed([FieldError("name", UNIQUE, NAME_IN_USE % {"name": other.name})])
    if hospital.name_folded != fold_name(name):
        hospital.former_names.filter(name_folded=fold_name(name)).delete()
        hospital.former_names.create(name=hospital.name, name_folded=hospital.name_folded)
    Hospital.objects.filter(pk=hospital.pk).update(name=name, name_folded=fold_name(name), updated_at=now_ms())
    recording.record(Hospital, [hospital.pk], recording.CHANGED, actor)
    held = Device.objects.filter(device_holder=hospital).lock()
    recording.record(Device, held, recording.CHANGED, actor)  # clients that keep a copy see the name


@atomic_with_retry
def merge(hospitals: Iterable[Hospital], into: Hospital, actor: Actor) -> dict[str, int]:
    """Move all that belongs to the hospitals into the other one, and delete them; their names find it.

    1. Lock them all, in the order of their ids: nobody registers a device of theirs meanwhile.
    2. Move devices and keys, each with its history; admins, and former names.
    3. Keep the name and id of each as former ones of the other, and delete it.

    Return how many devices, admins and keys were moved.

    Raises:
        Refused: one of them has been merged meanwhile.
    """
    locks.acquire_registry_lock()
    gone = [hospital.pk for hospital in hospitals if hospital.pk != into.pk]
    locked = {row.pk: row for row in _lock([*gone, into.pk])}
    into = locked.pop(into.pk)
    devices = Device.objects.filter(device_holder__in=locked).assign(now_ms(), device_holder=into)
    recording.record(Device, devices, recording.CHANGED, actor)
    keys = list(ApiKey.objects.filter(hospital__in=locked).values_list("pk", flat=True))
    ApiKey.objects.filter(pk__in=keys).update(hospital=into)
    recording.record(ApiKey, keys, recording.CHANGED, actor)
    admins = [admin for hospital in locked.values() for admin in hospital.admins.all()]
    into.admins.add(*admins)
    for hospital in locked.values():
        hospital.admins.clear()  # with the signals that put it on record
    HospitalAlias.objects.filter(hospital__in=locked).update(hospital=into)
    recording.record(Hospital, list(locked), recording.DELETED, actor, history_change_reason=f"merged into {into.pk}")
    bulk.delete(Hospital, list(locked))
    for row in locked.values():
        into.former_names.create(name=row.name, name_folded=row.name_folded, former_id=row.pk)
    return {"devices": len(devices), "admins": len(admins), "keys": len(keys)}


def _lock(ids: list[int]) -> list[Hospital]:
    found = list(Hospital.objects.select_for_update().filter(pk__in=ids).order_by("pk"))
    if len(found) < len(set(ids)):
        raise ValidationFailed([FieldError(None, AdminErrorCode.GONE, HOSPITAL_GONE)])
    return found


def _spellings(names: Iterable[str | None]) -> dict[str, str]:
    """Return the first spelling of each folded name."""
    distinct = [name for name in dict.fromkeys(names) if name is not None]  # most of a thousand devices have the same
    return {fold_name(name): name for name in reversed(distinct)}


@cache
def _by_current_name() -> CompiledQuery:
    rows = Hospital.objects.filter(name_folded__in=expressions.in_texts(Parameter("names")))
    return CompiledQuery(rows.values_list(*COLUMNS))


def _find_by_current_name(names: Iterable[str]) -> dict[str, Hospital]:
    """Return the hospitals whose present folded names are these. It costs less than HospitalQuerySet.by_name."""
    rows = _by_current_name().fetch(names=expressions.json_list(list(names)))
    return {row.name_folded: row for row in (Hospital.from_db(DEFAULT_DB_ALIAS, COLUMNS, row) for row in rows)}


def _register_missing(spellings: Mapping[str, str], actor: Actor) -> dict[str, Hospital]:
    locks.acquire_registry_lock()  # wait for a rename or merge: the name may be a former one afterwards
    found = Hospital.objects.by_name(spellings)
    if others := spellings.keys() - found.keys():
        found |= _find_by_former_name(others)
    missing, at = sorted(spellings.keys() - found.keys()), now_ms()
    if not missing:
        return found
    names = {"name": [spellings[folded] for folded in missing], "name_folded": missing}
    ids = bulk.insert(Hospital, names, {"created_at": at, "updated_at": at})
    recording.record(Hospital, ids, recording.CREATED, actor)
    return found | Hospital.objects.by_name(missing)


def _find_by_former_name(names: Collection[str]) -> dict[str, Hospital]:
    """Return the hospitals of these folded names that were stored before names were normalized.

    `fold` returns another text for their names now: without this they would be registered a second time.
    """
    former = [(row.name, row.hospital) for row in HospitalAlias.objects.select_related("hospital")]
    rows = former + [(row.name, row) for row in Hospital.objects.all()]
    return {folded: hospital for name, hospital in rows if (folded := fold_name(name)) in names}
