"""The names of fields in requests and responses: snake_case, camelCase or both, as the API key requires.

A resource lists its fields in snake_case. These functions are for each resource, except where they name the device.
Requests can use either name with any key. Query parameters have one name for all keys.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from devices.models import ApiKey

FIELDS = ("id", "device_name", "device_mac", "device_type", "device_holder", "created_at", "updated_at")

# Strings, because psycopg takes longer to send a member of an enumeration.
SNAKE_CASE, CAMEL_CASE, BOTH = ApiKey.Naming.values


def camel_case(field: str) -> str:
    first, *others = field.split("_")
    return first + "".join(word.capitalize() for word in others)


@cache
def names_of(fields: tuple[str, ...], naming: str) -> tuple[tuple[str, str], ...]:
    """Return each name in a response with its field, in order.

    With `both`, all snake_case names come first, so that the first values of a row are the same in each naming.
    """
    snake = tuple((field, field) for field in fields)
    camel = tuple((camel_case(field), field) for field in fields)
    both = snake + tuple(pair for pair in camel if pair not in snake)
    return {SNAKE_CASE: snake, CAMEL_CASE: camel, BOTH: both}[naming]


def spell(row: Mapping[str, Any], naming: str) -> dict[str, Any]:
    """Return the row, whose names are in snake_case, with the names of the naming."""
    return {name: row[field] for name, field in names_of(tuple(row), naming)}


_BY_CAMEL_CASE = {camel_case(field): field for field in FIELDS if camel_case(field) != field}
_IN_CAMEL_CASE = {field: name for name, field in _BY_CAMEL_CASE.items()}


def names_for(key: object) -> Mapping[str, str]:
    """Return the names in `errors` that differ from the snake_case names, by snake_case name. None do with `both`."""
    return _IN_CAMEL_CASE if isinstance(key, ApiKey) and key.naming == CAMEL_CASE else {}


def to_snake_case(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the posted device with snake_case names. If a field has both names, snake_case wins: the vendor's client
    sends back the camelCase fields that it has received, and adds the edited ones in snake_case."""
    if _BY_CAMEL_CASE.keys().isdisjoint(row):
        return row
    return {field: row[name] for name, field in _BY_CAMEL_CASE.items() if name in row} | dict(row)
