"""Merge stored hospitals whose names have become equal, because a release compares names in another way.

Only a migration calls this. `hospitals.get_or_create` finds a hospital by its folded name, so each stored folded name
must be the result of `fold_name`.
"""

from collections.abc import Iterator
from itertools import groupby

from devices.access.actor import SYSTEM
from devices.db import locks
from devices.db.transactions import atomic_with_retry
from devices.models import Hospital, HospitalAlias
from devices.registry import hospitals
from devices.values.hospital_names import NO_HOSPITAL, fold_name
from devices.values.normalization import normalize


@atomic_with_retry
def merge_equal_hospitals() -> list[str]:
    """Merge the hospitals with equal names, and store all names in normalized form. Return a report, one line each.

    Of equal hospitals, the one with the most devices stays. A name that is blank or `unknown` after normalization
    becomes `Hospital` and the id: such a hospital can have admins and API keys, so it must not become "no hospital".
    """
    locks.acquire_registry_lock()
    by_name = sorted(Hospital.objects.all(), key=lambda hospital: (_folded(hospital), hospital.pk))
    report = [
        line
        for _name, equal in groupby(by_name, key=_folded)
        for line in _merge_and_rename(sorted(equal, key=lambda hospital: (-hospital.devices.count(), hospital.pk)))
    ]
    names = set(Hospital.objects.values_list("name_folded", flat=True))
    names |= set(HospitalAlias.objects.values_list("name_folded", flat=True))
    for alias in HospitalAlias.objects.order_by("pk"):
        if (folded := fold_name(alias.name)) not in names:  # otherwise the row stays only for its `former_id`
            HospitalAlias.objects.filter(pk=alias.pk).update(name_folded=folded)
            names.add(folded)
    return report


def _merge_and_rename(equal: list[Hospital]) -> Iterator[str]:
    target, *others = equal
    name = _visible_name(target)
    for hospital in others:
        moved = hospitals.merge([hospital], target, SYSTEM)
        counts = ", ".join(f"{number} {kind}" for kind, number in moved.items())
        yield f"Hospital {hospital.pk} {hospital.name!a} was merged into {target.pk} {target.name!a}: {counts}."
    Hospital.objects.filter(pk=target.pk).exclude(name_folded=fold_name(name)).update(name_folded=fold_name(name))
    if name != target.name:
        hospitals.rename(target, name, SYSTEM)
        yield f"Hospital {target.pk} {target.name!a} was renamed to {name!a}."


def _visible_name(hospital: Hospital) -> str:
    name = normalize(hospital.name)
    return f"Hospital {hospital.pk}" if fold_name(name) in ("", NO_HOSPITAL) else name


def _folded(hospital: Hospital) -> str:
    return fold_name(_visible_name(hospital))
