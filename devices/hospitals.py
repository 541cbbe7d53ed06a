"""The verbs of hospitals: rename, merge. What a hospital was called before leads to it for good.

Applications in the field send the names that they know. Without that memory, the first device that is registered after
a rename or a merge would bring the old name back as a new hospital.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from devices import history, registry, sql
from devices.drafts import fold
from devices.models import ApiKey, Device, FormerName, Hospital, now
from devices.origin import Origin
from devices.problems import UNIQUE, Problem, Refused
from devices.transactions import in_one_transaction

GONE = _("This hospital has been merged into another meanwhile.")
MEANS_ANOTHER = _("This is %(name)s, or was a name of it. Merge the two instead.")


@dataclass
class Moved:
    """How many devices, admins and keys a merge moved."""

    devices: int = 0
    admins: int = 0
    keys: int = 0


@in_one_transaction
def rename(hospital: Hospital, name: str, origin: Origin) -> None:
    """Give the hospital another name; the old one goes on meaning it.

    Raises:
        Refused: another hospital has the name, or had it before, or the hospital has been merged meanwhile.
    """
    sql.queue_up()
    [hospital] = _locked([hospital.pk])
    if hospital.name == name:
        return
    other = Hospital.objects.called([fold(name)]).get(fold(name))
    if other and other != hospital:
        raise Refused([Problem("name", UNIQUE, MEANS_ANOTHER % {"name": other.name})])
    if hospital.name_folded != fold(name):
        hospital.former_names.filter(name_folded=fold(name)).delete()
        hospital.former_names.create(name=hospital.name, name_folded=hospital.name_folded)
    Hospital.objects.filter(pk=hospital.pk).update(name=name, name_folded=fold(name), updated_at=now())
    history.record(Hospital, [hospital.pk], history.CHANGED, origin)
    registry.retell(Device.objects.filter(device_holder=hospital), origin)


@in_one_transaction
def merge(hospitals: Iterable[Hospital], into: Hospital, origin: Origin) -> Moved:
    """Move all that belongs to the hospitals into the other one, and take them away; their names lead to it.

    1. Lock them all, in the order of their ids: nobody registers a device of theirs meanwhile.
    2. Move devices and keys, each with its history; admins, and former names.
    3. Keep each one's name and id as the other's former ones, and take it away.

    Raises:
        Refused: one of them has been merged meanwhile.
    """
    sql.queue_up()
    gone = [hospital.pk for hospital in hospitals if hospital.pk != into.pk]
    locked = {row.pk: row for row in _locked([*gone, into.pk])}
    into = locked.pop(into.pk)
    moved = Moved(devices=registry.transfer(Device.objects.filter(device_holder__in=locked), into, origin))
    keys = list(ApiKey.objects.filter(hospital__in=locked).values_list("pk", flat=True))
    moved.keys = ApiKey.objects.filter(pk__in=keys).update(hospital=into)
    history.record(ApiKey, keys, history.CHANGED, origin)
    for hospital in locked.values():
        admins = hospital.admins.all()
        moved.admins += len(admins)
        into.admins.add(*admins)
        hospital.admins.clear()  # with the signals that put it on record
    FormerName.objects.filter(hospital__in=locked).update(hospital=into)
    history.record(Hospital, list(locked), history.REMOVED, origin, history_change_reason=f"merged into {into.pk}")
    names = [(row.pk, row.name, row.name_folded) for row in locked.values()]
    sql.delete(Hospital, list(locked))
    for former_id, name, folded in names:
        into.former_names.create(name=name, name_folded=folded, former_id=former_id)
    return moved


def _locked(ids: list[int]) -> list[Hospital]:
    found = list(Hospital.objects.select_for_update().filter(pk__in=ids).order_by("pk"))
    if len(found) < len(set(ids)):
        raise Refused([Problem(None, "gone", GONE)])
    return found
