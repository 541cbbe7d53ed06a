"""Serialize devices, and document the bodies of requests and responses for /api/schema.

The serializer classes only document: registry/device_fields.py validates what a client sends (and files and forms too),
and device_json.py serializes the devices that a client reads. The names of the classes are the names of the components
in /api/schema, and so of the classes in generated clients.
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
from devices.registry.similar_hospitals import MAX_SUGGESTIONS
from devices.values.device_types import DEVICE_TYPES
from devices.values.error_codes import ERROR_CODES
from devices.values.hospital_names import NO_HOSPITAL
from devices.values.normalization import MAX_LENGTH

ACCEPTED_TYPES = (*DEVICE_TYPES, *map(str.lower, DEVICE_TYPES))
TEXTS = itemgetter("device_name", "device_mac", "device_type")
Schema = dict[str, Any] | Callable[[], dict[str, Any]]
Row = tuple[int, Sequence[str], Hospital | None, int, int]


class Text(serializers.Field[Any, Any, Any, Any]):
    """A string with two JSON Schemas: as accepted and as returned. A function as schema follows the settings."""

    def __init__(self, accepted: Schema, returned: Schema | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.accepted, self.returned = accepted, returned or accepted


class TextSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = Text

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        schema: Schema = self.target.accepted if direction == "request" else self.target.returned
        return {"type": "string"} | (schema() if callable(schema) else schema)


def _name(*examples: str, **options: Any) -> Text:
    """Return a field for a name. Its length is limited after normalization, so a longer string may be accepted."""
    accepted = {"minLength": 1, "format": patterns.DISPLAY_NAME, "examples": list(examples)}
    returned = {"minLength": 1, "maxLength": MAX_LENGTH, "examples": list(examples)}
    return Text(accepted, returned, **options)


def _mac(**options: Any) -> Text:
    return Text(
        lambda: {"format": patterns.mac_format(), "examples": ["D0:61:AE:D4:58:94", "d061.aed4.5894"]},
        lambda: {"pattern": patterns.mac_returned(), "examples": ["D0:61:AE:D4:58:94"]},
        **options,
    )


def _type(**options: Any) -> Text:
    return Text(_enum(*ACCEPTED_TYPES), _enum(*DEVICE_TYPES), **options)


def _enum(*values: str) -> dict[str, Any]:
    return {"enum": list(values), "examples": [values[0]]}


def _id(**options: Any) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=1, max_value=MAX_ID, **options)


def _timestamp(text: str, **options: Any) -> serializers.IntegerField:
    help_text = f"{text} Unix time in milliseconds."
    return serializers.IntegerField(min_value=0, max_value=MAX_ID, help_text=help_text, **options)


class DeviceSerializer(serializers.Serializer[Any]):
    """A medical device."""

    id = _id(read_only=True, help_text="Assigned by the registry, and never reused.")
    device_name = _name(
        "E86 5894",
        "Ward 3, bed 2",
        help_text=f"Unique in the whole registry. 1–{MAX_LENGTH} printable characters after normalization.",
    )
    device_mac = _mac(
        help_text="MAC address of 48 or 64 bits, unique in the whole registry. Accepted with colons, hyphens, dots or "
        "no separators; returned in capitals with colons. Addresses of no single device are rejected: all zeros, "
        "broadcast and multicast."
    )
    device_type = _type(help_text="Accepted in capitals or lower case; returned in capitals.")
    device_holder = Text(
        {"type": ["string", "null"], "format": patterns.HOSPITAL_NAME, "examples": ["RS Sentosa", "unknown"]},
        {"minLength": 1, "maxLength": MAX_LENGTH, "examples": ["RS Sentosa", "unknown"]},
        required=False,
        help_text="Name of the hospital; `unknown`: no hospital, or the only hospital of the API key. A new name "
        "registers a hospital, except with `unknown_holder=refuse`. If omitted when you register a device, it becomes "
        "the hospital of the API key, if the key has only one. If omitted in an update, it stays unchanged. Null, "
        "an empty string and a text that means nothing, such as `-`, `N/A` or `#REF!`, count as omitted.",
    )
    created_at = _timestamp("Time of the registration.", read_only=True)
    updated_at = _timestamp("Time of the last change.", read_only=True)


class IdentifiedDeviceSerializer(DeviceSerializer):
    """A device that is identified by its `id`, or without an `id` by its `device_mac`."""

    id = _id(required=False, allow_null=True, help_text="Omitted or null: `device_mac` identifies the device.")


class RegisteredDeviceSerializer(DeviceSerializer):
    """A device after its registration or update, or in a dry run as it would be."""

    id = _id(read_only=True, allow_null=True, help_text="Assigned by the registry; null for a new device in a dry run.")


class ChangeSerializer(serializers.Serializer[Any]):
    """One change of a device."""

    cursor = Text(
        {"pattern": patterns.CURSOR, "examples": ["AxskM3BqivzGeYjOb-14etiYwUutyz7Gqu2M7YaUhH1-hCbs3L4MM4X1ZAmu"]},
        help_text="Position of this change. Send it in `since` to continue after it.",
    )
    action = Text(
        _enum(*ACTIONS),
        help_text="For a key of one hospital, `created` can also mean that the device came from another hospital, and "
        "`deleted` that it was transferred to another hospital.",
    )
    at = _timestamp("Time of the change.")
    device = DeviceSerializer(help_text="The device after the change; for `deleted`, before it.")


class ApiError(serializers.Serializer[Any]):
    """One error of a request."""

    field = serializers.CharField(
        allow_null=True, help_text="The field, parameter or header that has the error; null if the error has none."
    )
    code = Text(_enum(*ERROR_CODES), help_text="For programs; it does not depend on the language.")
    message = serializers.CharField(help_text="A sentence for users, in English or Indonesian.")
    index = serializers.IntegerField(
        required=False, min_value=0, help_text="Position of the device in the posted array, from 0."
    )
    suggestions = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        max_length=MAX_SUGGESTIONS,
        help_text="With the code `unknown_hospital`: names of similar hospitals, best first. Other codes have none.",
    )


class BulkResultSerializer(serializers.Serializer[Any]):
    """The result of one item of the posted array: `device` if it was accepted, otherwise `errors`."""

    index = serializers.IntegerField(min_value=0, help_text="Position in the posted array, from 0.")
    status = Text(
        _enum(*STATUSES),
        help_text="`conflict`: a registered device or an earlier item has this name or MAC address. `invalid`: the "
        "item has another error. `limited`: the limit of conflicts with devices outside the key's scope is reached, so "
        "the item was not compared with them (code `conflict_limit`).",
    )
    device = RegisteredDeviceSerializer(required=False)
    errors = ApiError(many=True, required=False)  # type: ignore[assignment]


class Pagination(serializers.Serializer[Any]):
    """Position of this page, and the URLs of the pages next to it."""

    page = serializers.IntegerField(
        allow_null=True,
        min_value=settings.API_FIRST_PAGE,
        help_text="Number of this page; null on a page that was requested with `after` or `before`.",
    )
    size = serializers.IntegerField(min_value=1, max_value=MAX_SIZE, help_text="Maximum devices per page.")
    total = serializers.IntegerField(min_value=0, help_text="Exact number of matching devices.")
    total_pages = serializers.IntegerField(min_value=0, help_text="Number of pages of this size.")
    next = serializers.URLField(allow_null=True, help_text="Null on the last page.")
    previous = serializers.URLField(allow_null=True, help_text="Null on the first page.")


class ChangeFeedPagination(serializers.Serializer[Any]):
    """The place to continue in the change feed."""

    size = serializers.IntegerField(min_value=1, max_value=MAX_SIZE, help_text="Maximum changes per page.")
    next = serializers.URLField(
        help_text="URL of the next page. It is never null: changes that come later appear there."
    )


class Envelope(serializers.Serializer[Any]):
    status = Text(
        {"pattern": patterns.STATUS, "examples": ["OK", "NOT_FOUND"]},
        help_text="Name of the HTTP status in capitals.",
    )
    code = serializers.IntegerField(min_value=200, max_value=599, help_text="The HTTP status.")
    message = serializers.CharField(help_text="A sentence for users, in English or Indonesian (`Accept-Language`).")


def _envelope(name: str, description: str, **fields: Any) -> Any:
    """Return a serializer class for an envelope with these fields. The envelope of a list is not a list."""
    return extend_schema_serializer(many=False)(type(name, (Envelope,), {"__doc__": description, **fields}))


class RegisteredHospitalSerializer(serializers.Serializer[Any]):
    """A hospital that the request has registered, because a `device_holder` was a new name."""

    hospital_id = _id(read_only=True, allow_null=True, help_text="Assigned by the registry; null in a dry run.")
    hospital_name = serializers.CharField(max_length=MAX_LENGTH, help_text="The normalized `device_holder`.")


def _new_hospitals() -> Any:
    help_text = "The hospitals that this request registered. Omitted if there are none."
    return RegisteredHospitalSerializer(many=True, required=False, help_text=help_text)


def _no_data() -> serializers.ListField:
    return serializers.ListField(child=serializers.JSONField(), max_length=0, help_text="Always empty.")


DeviceResponse = _envelope("DeviceResponse", "A response with one device.", data=DeviceSerializer())
UpdatedDeviceResponse = _envelope(
    "UpdatedDeviceResponse",
    "A response with the updated device.",
    data=DeviceSerializer(),
    hospitals_registered=_new_hospitals(),
)
DeviceListResponse = _envelope(
    "DeviceListResponse", "A page of devices.", data=DeviceSerializer(many=True), pagination=Pagination()
)
RegisteredDevicesResponse = _envelope(
    "RegisteredDevicesResponse",
    "The registered devices, in the order of the posted array.",
    data=RegisteredDeviceSerializer(many=True),
    hospitals_registered=_new_hospitals(),
)
BulkResponse = _envelope(
    "BulkResponse",
    "One result per item, in the order of the posted array.",
    data=BulkResultSerializer(many=True),
    hospitals_registered=_new_hospitals(),
)
ChangeFeedResponse = _envelope(
    "ChangeFeedResponse", "A page of changes.", data=ChangeSerializer(many=True), pagination=ChangeFeedPagination()
)
EmptyResponse = _envelope("EmptyResponse", "A response without data.", data=_no_data())
ErrorResponse = _envelope("ErrorResponse", "A response with errors.", data=_no_data(), errors=ApiError(many=True))
PreconditionFailedResponse = _envelope(
    "PreconditionFailedResponse",
    "The device has changed since the version in `If-Match`. `data` is the device as it is now.",
    data=DeviceSerializer(),
    errors=ApiError(many=True),
)


def serialize_device(device: Device, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a device as the API returns it, with the fields named by `names`, in the order of FIELDS."""
    texts = device.device_name, device.device_mac, device.device_type
    timestamps = to_epoch_ms(device.created_at), to_epoch_ms(device.updated_at)
    [row] = _serialize(names, [(device.pk, texts, device.device_holder, *timestamps)])
    return row


def serialize_registered(devices: registry.RegisteredDevices, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return each device as `serialize_device` does, without a model instance for each of up to 10,000 devices."""
    texts, at = map(TEXTS, devices.items), repeat(to_epoch_ms(devices.at))
    return _serialize(names, zip(devices.ids, texts, devices.hospitals, at, at, strict=False))


def describe_new_hospitals(hospitals: Iterable[Hospital | None]) -> dict[str, Any]:
    """Return `hospitals_registered` of a response: the new ones of these hospitals, sorted by name.

    The result is empty if there are none, so the response then has no such field.
    """
    new = {hospital.name_folded: hospital for hospital in hospitals if hospital and hospital.is_new}
    rows = [{"hospital_id": new[name].pk, "hospital_name": new[name].name} for name in sorted(new)]
    return {"hospitals_registered": rows} if rows else {}


def _serialize(names: Mapping[str, str], rows: Iterable[Row]) -> list[dict[str, Any]]:
    pk, name, mac, kind, holder, created_at, updated_at = all_names(names)
    return [
        {
            pk: row_id or None,  # a dry run assigns no id
            name: texts[0],
            mac: texts[1],
            kind: texts[2],
            holder: hospital.name if hospital else NO_HOSPITAL,
            created_at: created,
            updated_at: updated,
        }
        for row_id, texts, hospital, created, updated in rows
    ]


def to_epoch_ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)
