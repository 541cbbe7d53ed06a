"""Look up the devices with many MAC addresses.

A foreign device has the same result as an unknown one, and both take the same statements: one query finds the devices
in scope, and everything that it does not find is null.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import orjson
from django.core.exceptions import ValidationError

from devices.api import responses
from devices.api.device_json import DeviceJSON
from devices.api.field_names import FIELD_CASES
from devices.api.queries import compiled_scope, in_compiled_scope
from devices.db import expressions
from devices.db.compiled import CompiledQuery, Parameter
from devices.models import Device
from devices.registry import device_fields
from devices.values.error_codes import ErrorCode
from devices.values.errors import FieldError
from devices.values.scope import Scope

FIELD = "device_mac"


def look_up(sent: Sequence[object], scope: Scope, naming: str) -> orjson.Fragment:
    """Return the results as a JSON array, in the order of the entries. One query finds the devices.

    sent: the entries as the client sent them. One that is not a MAC address has `errors`, and no device.
    """
    entries = [_read(value) for value in sent]
    kind, hospitals = compiled_scope(scope)
    addresses = expressions.json_list(list({entry for entry in entries if isinstance(entry, str)}))
    found = dict(_devices(naming, kind).fetch(macs=addresses, scope=hospitals))
    names = FIELD_CASES[naming]
    key = names.get(FIELD, FIELD)
    results = [
        f'{{"{key}":{_echo(value)},"device":{found.get(entry, "null")}}}'
        if isinstance(entry, str)
        else f'{{"{key}":{_echo(value)},"device":null,"errors":{_errors(entry, names)}}}'
        for value, entry in zip(sent, entries, strict=True)
    ]
    return orjson.Fragment(f"[{','.join(results)}]")


def _read(value: object) -> str | FieldError:
    """Return the address in canonical form, or the error that a registration would have.

    An address that no device can have, such as the broadcast address, is read as in a filter: it finds no device.
    """
    try:
        return device_fields.read_mac(value)
    except ValidationError as error:
        return FieldError(FIELD, ErrorCode(str(error.code)), error.messages[0])


def _echo(value: object) -> str:
    """Return the entry as JSON: a string as it was sent, an integer as its digits, null for any other value."""
    if type(value) is int:
        value = str(value)
    return orjson.dumps(value).decode() if isinstance(value, str) else "null"


def _errors(problem: FieldError, names: Mapping[str, str]) -> str:
    return orjson.dumps(responses.serialize_errors([problem], names)).decode()


@cache
def _devices(naming: str, kind: str) -> CompiledQuery:
    """Return the compiled query for the MAC addresses and the JSON of devices, by `macs`, a JSON list, and `scope`."""
    named = Device.objects.filter(device_mac__in=expressions.in_texts(Parameter("macs")))
    devices = in_compiled_scope(named, kind).order_by()
    return CompiledQuery(devices.values_list(FIELD, DeviceJSON(FIELD_CASES[naming])), raw=True)
