"""The fields of a hospital in the API: their names in each naming, and their JSON, which the database writes."""

from collections.abc import Mapping
from typing import Any

from django.db.models import F
from django.db.models.expressions import Combinable

from devices.api.device_json import Milliseconds, RowJSON
from devices.api.field_names import names_of, spell
from devices.models import Hospital, count_of_hospital

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


class HospitalJSON(RowJSON):
    """A hospital as a JSON object with the names of this naming."""

    def __init__(self, naming: str) -> None:
        super().__init__((name, COLUMNS[field]) for name, field in names_of(tuple(COLUMNS), naming))


def serialize_successor(hospital: Hospital, naming: str) -> dict[str, Any]:
    """Return the id and the name of the hospital into which another one was merged."""
    return spell({"hospital_id": hospital.pk, "hospital_name": hospital.name}, naming)
