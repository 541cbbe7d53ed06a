"""Serialize devices that the registry has just written. The database serializes those that it reads: device_json.py."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import repeat
from operator import itemgetter
from typing import Any

from devices import registry
from devices.api.field_names import FIELDS, SNAKE_CASE, names_of, spell
from devices.models import Device, Hospital
from devices.values.hospital_names import NO_HOSPITAL

TEXTS = itemgetter("device_name", "device_mac", "device_type")
Row = tuple[int, Sequence[str], Hospital | None, int, int]


def serialize_device(device: Device, naming: str = SNAKE_CASE) -> dict[str, Any]:
    """Return a device as the API returns it, with the names of the naming, in the order of `names_of`."""
    texts = device.device_name, device.device_mac, device.device_type
    timestamps = to_epoch_ms(device.created_at), to_epoch_ms(device.updated_at)
    [row] = _serialize(naming, [(device.pk, texts, device.device_holder, *timestamps)])
    return row


def serialize_registered(devices: registry.RegisteredDevices, naming: str) -> list[dict[str, Any]]:
    """Return each device as `serialize_device` does, without a model instance for each of up to 10,000 devices."""
    texts, at = map(TEXTS, devices.items), repeat(to_epoch_ms(devices.at))
    return _serialize(naming, zip(devices.ids, texts, devices.hospitals, at, at, strict=False))


def describe_new_hospitals(hospitals: Iterable[Hospital | None], naming: str) -> dict[str, Any]:
    """Return `hospitals_registered` of a response: the new ones of these hospitals, sorted by name.

    The result is empty if there are none, so the response then has no such field.
    """
    new = {hospital.name_folded: hospital for hospital in hospitals if hospital and hospital.is_new}
    rows = [spell({"hospital_id": new[name].pk, "hospital_name": new[name].name}, naming) for name in sorted(new)]
    return {"hospitals_registered": rows} if rows else {}


def _serialize(naming: str, rows: Iterable[Row]) -> list[dict[str, Any]]:
    devices = [
        {
            "id": row_id or None,  # a dry run assigns no id
            "device_name": texts[0],
            "device_mac": texts[1],
            "device_type": texts[2],
            "device_holder": hospital.name if hospital else NO_HOSPITAL,
            "created_at": created,
            "updated_at": updated,
        }
        for row_id, texts, hospital, created, updated in rows
    ]
    if naming == SNAKE_CASE:
        return devices
    names = names_of(FIELDS, naming)
    return [{name: device[field] for name, field in names} for device in devices]


def to_epoch_ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)
