"""Look up the devices with many MAC addresses.

A foreign device has the same result as an unknown one, and both take the same statements: one query finds the devices
in scope, and everything that it does not find is null.
"""

from collections.abc import Sequence
from functools import cache

import orjson
from django.core.exceptions import ValidationError

from devices.api import mac_field, responses
from devices.api.device_json import DeviceJSON
from devices.api.field_names import names_of
from devices.api.queries import compiled_scope, in_compiled_scope
from devices.db import expressions
from devices.db.compiled import CompiledQuery, Parameter
from devices.models import Device
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
    names = [name for name, _field in names_of((FIELD,), naming)]
    results = []
    for value, entry in zip(sent, entries, strict=True):
        text = _echo(value)
        echo = ",".join([f'"{name}":{text}' for name in names])
        if isinstance(entry, str):
            results.append(f'{{{echo},"device":{found.get(entry, "null")}}}')
        else:
            results.append(f'{{{echo},"device":null,"errors":{_errors(entry, names[0])}}}')
    return orjson.Fragment(f"[{','.join(results)}]")


def _read(value: object) -> str | FieldError:
    """Return the address in canonical form, or the error that a registration would have.

    An address that no device can have, such as the broadcast address, is read as in a filter: it finds no device.
    """
    try:
        return mac_field.read_mac(value)
    except ValidationError as error:
        return FieldError(FIELD, ErrorCode(str(error.code)), error.messages[0])


def _echo(value: object) -> str:
    """Return the entry as JSON: a string as it was sent, an integer as its digits, null for any other value."""
    if type(value) is int:
        value = str(value)
    return orjson.dumps(value).decode() if isinstance(value, str) else "null"


def _errors(problem: FieldError, name: str) -> str:
    return orjson.dumps(responses.serialize_errors([problem], {FIELD: name})).decode()


@cache
def _devices(naming: str, kind: str) -> CompiledQuery:
    """Return the compiled query for the MAC addresses and the JSON of devices, by `macs`, a JSON list, and `scope`."""
    named = Device.objects.filter(device_mac__in=expressions.in_texts(Parameter("macs")))
    devices = in_compiled_scope(named, kind).order_by()
    return CompiledQuery(devices.values_list(FIELD, DeviceJSON(naming)), raw=True)
