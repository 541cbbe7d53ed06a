"""Find the hospitals that a caller names, and register those that are named for the first time."""

from collections.abc import Collection, Iterable, Mapping
from functools import cache

from django.db import DEFAULT_DB_ALIAS

from devices import history, sql
from devices.drafts import fold
from devices.models import FormerName, Hospital, now
from devices.origin import Origin
from devices.prepared import Parameter, Prepared
from devices.reach import Reach

HOSPITAL_COLUMNS = [field.attname for field in Hospital._meta.concrete_fields]


def name_hospitals(names: Iterable[str | None], origin: Origin) -> dict[str, Hospital]:
    """Return the hospitals of these names by their folded names, after registering those seen for the first time."""
    spellings = _spellings(names)
    if not spellings:
        return {}
    known = _called_at_present(spellings)
    if spellings.keys() - known.keys():
        known = Hospital.objects.called(spellings)
    if spellings.keys() - known.keys():
        known = _register_missing(spellings, origin)
    return known | _own_stored_otherwise(origin.reach, spellings)


def _register_missing(spellings: Mapping[str, str], origin: Origin) -> dict[str, Hospital]:
    sql.queue_up()  # behind whoever is renaming or merging: the name may be a former one by then
    found = Hospital.objects.called(spellings)
    if found.keys() != spellings.keys():
        found |= _stored_otherwise(spellings.keys() - found.keys())
    missing = sorted(spellings.keys() - found.keys())
    if not missing:
        return found
    at = now()
    ids = sql.insert(
        Hospital,
        {"name": [spellings[folded] for folded in missing], "name_folded": missing},
        {"created_at": at, "updated_at": at},
        ignore_conflicts=True,
    )
    history.record(Hospital, ids, history.ADDED, origin)
    return found | Hospital.objects.called(missing)


def _stored_otherwise(names: Collection[str]) -> dict[str, Hospital]:
    """Return the hospitals of these folded names that were stored before names were normalized.

    Their `name_folded` has what `fold` removes now. Without this, such a hospital would be registered a second time.
    """
    former = [(row.name, row.hospital) for row in FormerName.objects.select_related("hospital")]
    rows = former + [(row.name, row) for row in Hospital.objects.all()]
    return {folded: hospital for name, hospital in rows if (folded := fold(name)) in names}


def _own_stored_otherwise(reach: Reach, names: Collection[str]) -> dict[str, Hospital]:
    """Return the caller's own hospitals of these folded names that were stored before names were normalized.

    Another hospital may have the normalized name. A caller within one hospital never means that other one.
    """
    own = {fold(hospital.name): hospital for hospital in reach.hospitals or ()}
    return {folded: row for folded, row in own.items() if folded in names and folded != row.name_folded}


def find_hospitals(names: Iterable[str | None]) -> dict[str, Hospital]:
    """Return what `name_hospitals` would, and write nothing: a hospital seen for the first time has no id."""
    spellings = _spellings(names)
    known = Hospital.objects.called(spellings) if spellings else {}
    return {folded: known.get(folded) or Hospital(name=name, name_folded=folded) for folded, name in spellings.items()}


def _spellings(names: Iterable[str | None]) -> dict[str, str]:
    """Return the first spelling of each folded name."""
    spellings: dict[str, str] = {}
    for name in dict.fromkeys(names):  # of a thousand devices most have the same
        if name is not None:
            spellings.setdefault(fold(name), name)
    return spellings


@cache
def _hospitals() -> Prepared:
    rows = Hospital.objects.filter(name_folded__in=sql.any_text(Parameter("names")))
    return Prepared(rows.values_list(*HOSPITAL_COLUMNS))


def _called_at_present(names: Iterable[str]) -> dict[str, Hospital]:
    """Return the hospitals of these folded names: what HospitalQuerySet.called finds without looking further."""
    rows = _hospitals().rows(names=sql.json_list(list(names)))
    found = (Hospital.from_db(DEFAULT_DB_ALIAS, HOSPITAL_COLUMNS, row) for row in rows)
    return {hospital.name_folded: hospital for hospital in found}
