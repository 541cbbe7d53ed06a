"""The names of the fields of a device: snake_case, or camelCase for keys with this naming."""

from collections.abc import Mapping
from typing import Any

from devices.models import ApiKey

FIELDS = ("id", "device_name", "device_mac", "device_type", "device_holder", "created_at", "updated_at")
CAMEL_CASE = {
    "device_name": "deviceName",
    "device_mac": "deviceMac",
    "device_type": "deviceType",
    "device_holder": "deviceHolder",
    "created_at": "createdAt",
    "updated_at": "updatedAt",
}

# The keys are strings, because psycopg takes longer to send a member of an enumeration.
FIELD_CASES: Mapping[str, Mapping[str, str]] = {
    ApiKey.Naming.SNAKE_CASE.value: {},
    ApiKey.Naming.CAMEL_CASE.value: CAMEL_CASE,
}


def names_for(key: object) -> Mapping[str, str]:
    """Return the field names of the key that differ from the snake_case names, by snake_case name."""
    return FIELD_CASES[key.naming] if isinstance(key, ApiKey) else {}


def all_names(names: Mapping[str, str]) -> list[str]:
    """Return the names of all fields, in the order of FIELDS."""
    return [names.get(field, field) for field in FIELDS]


def to_snake_case(row: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the posted row with snake_case names. If a field has both names, snake_case wins: such a client sends back
    the camelCase fields that it has received, and adds the edited ones in snake_case."""
    if not names:
        return row
    return {name: row[sent] for name, sent in names.items() if sent in row} | dict(row)
