"""The fields of a hospital in the API: their names in each naming, and their JSON, which the database writes."""

from collections.abc import Mapping
from typing import Any

from django.db.models import F
from django.db.models.expressions import Combinable

from devices.api.device_json import Milliseconds, RowJSON
from devices.models import ApiKey, Hospital, count_of_hospital

# The columns of the fields, in the order of the response. The id is the first.
COLUMNS: Mapping[str, Combinable] = {
    "hospital_id": F("id"),
    "hospital_name": F("name"),
    "device_count": count_of_hospital(),
    "address": F("address"),
    "email": F("email"),
    "phone": F("phone"),
    "region": F("region"),
    "domain": F("domain"),
    "created_at": Milliseconds("created_at"),
    "updated_at": Milliseconds("updated_at"),
}


def _camel_case(field: str) -> str:
    first, *others = field.split("_")
    return first + "".join(map(str.capitalize, others))


# The names of each field, by naming. The keys are strings, as in field_names.py.
NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    ApiKey.Naming.SNAKE_CASE.value: {field: (field,) for field in COLUMNS},
    ApiKey.Naming.CAMEL_CASE.value: {field: (_camel_case(field),) for field in COLUMNS},
    ApiKey.Naming.BOTH.value: {field: tuple(dict.fromkeys((field, _camel_case(field)))) for field in COLUMNS},
}


class HospitalJSON(RowJSON):
    """A hospital as a JSON object with the names of this naming."""

    def __init__(self, naming: str) -> None:
        names = NAMES[naming]
        super().__init__((name, COLUMNS[field]) for field in COLUMNS for name in names[field])


def serialize_successor(hospital: Hospital, naming: str) -> dict[str, Any]:
    """Return the id and the name of the hospital into which another one was merged."""
    values = {"hospital_id": hospital.pk, "hospital_name": hospital.name}
    return {name: value for field, value in values.items() for name in NAMES[naming][field]}
