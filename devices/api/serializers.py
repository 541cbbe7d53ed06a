"""Serialize a device, and document the bodies of requests and responses for /api/schema.

The serializer classes only document. registry/device_data.py validates what a client sends, for an import and a form as
well, and
as_json.py serializes what a client reads.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import repeat
from operator import itemgetter
from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from devices import registry
from devices.api.field_names import all_names
from devices.api.pagination import MAX_SIZE
from devices.api.schema import patterns
from devices.history.feed import ACTIONS
from devices.models import MAX_ID, Device, Hospital
from devices.registry.bulk import STATUSES
from devices.values.device_types import DEVICE_TYPES
from devices.values.hospital_names import NO_HOSPITAL
from devices.values.normalization import MAX_LENGTH

TYPES_SENT = (*DEVICE_TYPES, *map(str.lower, DEVICE_TYPES))
TEXTS = itemgetter("device_name", "device_mac", "device_type")
Schema = dict[str, Any] | Callable[[], dict[str, Any]]
Row = tuple[int, Sequence[str], Hospital | None, int, int]


class Text(serializers.Field[Any, Any, Any, Any]):
    """A text, with the JSON Schema of how it is sent and of how it is returned. A function follows the settings."""

    def __init__(self, sent: Schema, returned: Schema | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.sent, self.returned = sent, returned or sent


class TextSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = Text

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        schema: Schema = self.target.sent if direction == "request" else self.target.returned
        return {"type": "string"} | (schema() if callable(schema) else schema)


def _name(**options: Any) -> Text:
    """Return a field for a name. The pattern limits its length after normalization: what is sent may be longer."""
    return Text({"minLength": 1, "pattern": patterns.TEXT}, {"minLength": 1, "maxLength": MAX_LENGTH}, **options)


def _mac(**options: Any) -> Text:
    example = {"examples": ["D0:61:AE:D4:58:94"]}
    sent, returned = patterns.mac_sent, patterns.mac_kept
    return Text(lambda: {"pattern": sent(), **example}, lambda: {"pattern": returned(), **example}, **options)


def _type(**options: Any) -> Text:
    return Text({"enum": list(TYPES_SENT)}, {"enum": list(DEVICE_TYPES)}, **options)


def _id(**options: Any) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=1, max_value=MAX_ID, **options)


def _instant(**options: Any) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=0, max_value=MAX_ID, help_text="Milliseconds since 1970 UTC.", **options)


class DeviceSerializer(serializers.Serializer[Any]):
    """A device."""

    id = _id(read_only=True, help_text="Given by the registry.")
    device_name = _name(help_text=f"Unique. 1–{MAX_LENGTH} characters after normalization.")
    device_mac = _mac(help_text="Unique. Sent in any usual notation, returned in capitals with colons.")
    device_type = _type(help_text="Sent in capitals or small letters, returned in capitals.")
    device_holder = _name(help_text="The hospital's name; `unknown` is no hospital.", required=False)
    created_at = _instant(read_only=True)
    updated_at = _instant(read_only=True)


class NamedDeviceSerializer(DeviceSerializer):
    """A device that is named by its `id`, or else by its `device_mac`."""

    id = _id(required=False, allow_null=True)


class RegisteredDeviceSerializer(DeviceSerializer):
    id = _id(read_only=True, allow_null=True, help_text="Given by the registry; null in a dry run.")


class ChangeSerializer(serializers.Serializer[Any]):
    cursor = Text({"pattern": patterns.CURSOR}, help_text="Go on behind this change with `since`.")
    action = Text({"enum": list(ACTIONS)})
    at = _instant()
    device = DeviceSerializer(help_text="As it was after the change; a deleted one, as it was before.")


class Entry(serializers.Serializer[Any]):
    field = serializers.CharField(allow_null=True, help_text="Null for what belongs to no field.")
    code = serializers.CharField(help_text="For programs; it does not change with the language.")
    message = serializers.CharField(help_text="For people.")
    index = serializers.IntegerField(required=False, min_value=0, help_text="The place in a posted list, from 0.")


class ResultSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField(min_value=0, help_text="The place in the posted list, from 0.")
    status = Text(
        {"enum": list(STATUSES)},
        help_text="`limited`: not compared with devices outside the key's scope (`conflict_limit`).",
    )
    device = RegisteredDeviceSerializer(required=False)
    errors = Entry(many=True, required=False)  # type: ignore[assignment]


class Pagination(serializers.Serializer[Any]):
    page = serializers.IntegerField(
        allow_null=True, min_value=settings.API_FIRST_PAGE, help_text="Null on a page after or before an id."
    )
    size = serializers.IntegerField(min_value=1, max_value=MAX_SIZE)
    total = serializers.IntegerField(min_value=0, help_text="Exact.")
    total_pages = serializers.IntegerField(min_value=0)
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)


class Following(serializers.Serializer[Any]):
    size = serializers.IntegerField(min_value=1, max_value=MAX_SIZE)
    next = serializers.URLField(help_text="The next page, also when there is nothing new yet.")


class Envelope(serializers.Serializer[Any]):
    """The envelope."""

    status = Text({"pattern": patterns.STATUS}, help_text="The HTTP status' name in capitals.")
    code = serializers.IntegerField(min_value=200, max_value=599, help_text="The HTTP status.")
    message = serializers.CharField(help_text="A sentence for people, in English or Indonesian.")


def _envelope(name: str, **fields: Any) -> Any:
    """Return a serializer class of this name for an envelope with these fields. The envelope of a list is no list."""
    return extend_schema_serializer(many=False)(type(name, (Envelope,), fields))


def _no_data() -> serializers.ListField:
    return serializers.ListField(child=serializers.JSONField(), max_length=0)


Devices = _envelope("Devices", data=DeviceSerializer(many=True), pagination=Pagination())
RegisteredDevices = _envelope("RegisteredDevices", data=RegisteredDeviceSerializer(many=True))
OneDevice = _envelope("OneDevice", data=DeviceSerializer())
Nothing = _envelope("Nothing", data=_no_data())
Failure = _envelope("Failure", data=_no_data(), errors=Entry(many=True))
Outdated = _envelope("Outdated", data=DeviceSerializer(), errors=Entry(many=True))
Results = _envelope("Results", data=ResultSerializer(many=True))
Changes = _envelope("Changes", data=ChangeSerializer(many=True), pagination=Following())


def serialize_device(device: Device, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a device as the API returns it, with the fields named by `names`, in the order of FIELDS."""
    texts = device.device_name, device.device_mac, device.device_type
    instants = to_epoch_ms(device.created_at), to_epoch_ms(device.updated_at)
    [row] = _serialize(names, [(device.pk, texts, device.device_holder, *instants)])
    return row


def serialize_registered(devices: registry.RegisteredDevices, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what `serialize_device` returns for each device, without 10,000 instances of the model."""
    texts, at = map(TEXTS, devices.items), repeat(to_epoch_ms(devices.at))
    return _serialize(names, zip(devices.ids, texts, devices.hospitals, at, at, strict=False))


def _serialize(names: Mapping[str, str], rows: Iterable[Row]) -> list[dict[str, Any]]:
    pk, name, mac, kind, holder, created_at, updated_at = all_names(names)
    return [
        {
            pk: row_id or None,  # a dry run gives no id
            name: texts[0],
            mac: texts[1],
            kind: texts[2],
            holder: hospital.name if hospital else NO_HOSPITAL,
            created_at: created,
            updated_at: updated,
        }
        for row_id, texts, hospital, created, updated in rows
    ]


def to_epoch_ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)
