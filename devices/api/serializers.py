"""Serialize devices, and document the bodies of requests and responses for /api/schema.

The serializer classes only document: registry/device_fields.py validates what a client sends (and files and forms too),
and device_json.py serializes the devices that a client reads. The names of the classes are the names of the components
in /api/schema, and so of the classes in generated clients.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import repeat
from operator import itemgetter
from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from devices import registry
from devices.api.field_names import FIELDS, SNAKE_CASE, names_of, spell
from devices.api.schema import patterns
from devices.history.feed import ACTIONS
from devices.models import MAX_ID, MAX_PAGE_SIZE, ApiKey, Device, Hospital
from devices.registry.bulk import STATUSES
from devices.registry.similar_hospitals import MAX_SUGGESTIONS
from devices.values.device_types import DEVICE_TYPES
from devices.values.error_codes import ERROR_CODES
from devices.values.hospital_names import NO_HOSPITAL
from devices.values.normalization import MAX_LENGTH

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


class DeviceTypeField(serializers.Field[Any, Any, Any, Any]):
    """The type of a device, as a separate component: generated clients have one class for it."""

    COMPONENT = "DeviceType"
    REFERENCE = {"$ref": f"#/components/schemas/{COMPONENT}"}


class DeviceTypeSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = DeviceTypeField

    def map_serializer_field(self, auto_schema: Any, direction: str) -> Any:
        name = self.target.COMPONENT
        schema = {
            "type": "string",
            "description": "The type of a device. The API also accepts lower case, and returns capitals.",
            **_enum(*DEVICE_TYPES),
        }
        component = ResolvedComponent(name, ResolvedComponent.SCHEMA, schema, name)  # type: ignore[no-untyped-call]
        auto_schema.registry.register_on_missing(component)
        return component.ref


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


def _enum(*values: str) -> dict[str, Any]:
    return {"enum": list(values), "examples": [values[0]]}


def _id(**options: Any) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=1, max_value=MAX_ID, **options)


def _timestamp(text: str, **options: Any) -> serializers.IntegerField:
    help_text = f"{text} Unix time in milliseconds."
    return serializers.IntegerField(min_value=0, max_value=MAX_ID, help_text=help_text, **options)


def _contact(example: str, limit: int, text: str) -> Text:
    return Text({"maxLength": limit, "examples": [example]}, help_text=f"{text} Empty if the operator has not set it.")


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
    device_type = DeviceTypeField()
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


CURSOR = {"pattern": patterns.CURSOR, "examples": ["AxskM3BqivzGeYjOb-14etiYwUutyz7Gqu2M7YaUhH1-hCbs3L4MM4X1ZAmu"]}


class HospitalSerializer(serializers.Serializer[Any]):
    """A hospital."""

    hospital_id = _id(help_text="Assigned by the registry, and never reused.")
    hospital_name = _name("RS Sentosa", help_text="The current name. Devices have it in `device_holder`.")
    device_count = serializers.IntegerField(
        min_value=0,
        max_value=MAX_ID,
        help_text="Exact number of devices of the hospital. Retired devices do not count.",
    )
    address = _contact("Jalan Melati 5, Bandung", 500, "Postal address.")
    email = _contact("info@rs-sentosa.example", 254, "Email address.")
    phone = _contact("+62 22 555 0100", 50, "One or several phone numbers.")
    region = _contact("Jawa Barat", 100, "City, regency or province.")
    domain = _contact("rs-sentosa.example", 253, "Host name of the website.")
    created_at = _timestamp("Time of the registration.")
    updated_at = _timestamp(
        "Time of the last change of the name or of the contact data. A change of `device_count` does not change it."
    )


class HospitalReferenceSerializer(serializers.Serializer[Any]):
    """The id and the name of a hospital."""

    hospital_id = _id(help_text="Send it to `GET /api/hospital/{hospital_id}`.")
    hospital_name = _name("RS Sentosa", help_text="The current name.")


class ChangeSerializer(serializers.Serializer[Any]):
    """One change of a device."""

    cursor = Text(CURSOR, help_text="Position of this change. Send it in `since` to continue after it.")
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
    code = Text(
        {"minLength": 1, "examples": list(ERROR_CODES)},
        help_text="For programs; it does not depend on the language. The codes of this version: "
        f"{', '.join(f'`{code}`' for code in ERROR_CODES)}. A minor version can add codes, so this is not an `enum`: "
        "for an unknown code, use the HTTP status.",
    )
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


def _neighbor(parameter: str, url: str) -> serializers.IntegerField:
    help_text = f"The value of `{parameter}` in `{url}`. Null if `{url}` is null, or names a page by its number."
    return serializers.IntegerField(min_value=0, max_value=MAX_ID, allow_null=True, help_text=help_text)


class Pagination(serializers.Serializer[Any]):
    """Position of this page, and the URLs of the pages next to it."""

    page = serializers.IntegerField(
        allow_null=True,
        min_value=settings.API_FIRST_PAGE,
        help_text="Number of this page; null on a page that was requested with `after` or `before`.",
    )
    size = serializers.IntegerField(min_value=1, max_value=MAX_PAGE_SIZE, help_text="Maximum items per page.")
    total = serializers.IntegerField(min_value=0, help_text="Exact number of matching items.")
    total_pages = serializers.IntegerField(min_value=0, help_text="Number of pages of this size.")
    after = _neighbor("after", "next")
    before = _neighbor("before", "previous")
    next = serializers.URLField(allow_null=True, help_text="Null on the last page.")
    previous = serializers.URLField(allow_null=True, help_text="Null on the first page.")


class ChangeFeedPagination(serializers.Serializer[Any]):
    """The place to continue in the change feed."""

    size = serializers.IntegerField(min_value=1, max_value=MAX_PAGE_SIZE, help_text="Maximum changes per page.")
    cursor = Text(CURSOR, help_text="The value of `since` in `next`. It is never null.")
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
    return serializers.ListField(child=serializers.DictField(), max_length=0, help_text="Always empty.")


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
ApiErrorResponse = _envelope("ApiErrorResponse", "A response with errors.", data=_no_data(), errors=ApiError(many=True))
PreconditionFailedResponse = _envelope(
    "PreconditionFailedResponse",
    "The device has changed since the version in `If-Match`. `data` is the device as it is now.",
    data=DeviceSerializer(),
    errors=ApiError(many=True),
)

HospitalResponse = _envelope("HospitalResponse", "A response with one hospital.", data=HospitalSerializer())
HospitalListResponse = _envelope(
    "HospitalListResponse", "A page of hospitals.", data=HospitalSerializer(many=True), pagination=Pagination()
)
MergedHospitalResponse = _envelope(
    "MergedHospitalResponse",
    "The hospital was merged into `successor`.",
    data=_no_data(),
    errors=ApiError(many=True),
    successor=HospitalReferenceSerializer(),
)


class KeyRateLimitSerializer(serializers.Serializer[Any]):
    """The rate limit of an API key, as in the headers `RateLimit-Policy` and `RateLimit`."""

    limit = serializers.IntegerField(min_value=1, help_text="Requests in each window. A posted device counts as one.")
    window_seconds = serializers.IntegerField(min_value=1, help_text="Length of a window.")
    remaining = serializers.IntegerField(min_value=0, help_text="Requests that remain in this window.")
    reset_seconds = serializers.IntegerField(min_value=1, help_text="Seconds until the next window begins.")


class KeySettingsSerializer(serializers.Serializer[Any]):
    """The settings of an API key. Its secret is never returned."""

    id = _id(help_text="Identifies the key for the operator.")
    name = Text({"minLength": 1, "maxLength": MAX_LENGTH, "examples": ["Ward app"]}, help_text="The application.")
    prefix = Text(
        {"type": ["string", "null"], "pattern": patterns.KEY_PREFIX, "examples": ["k4eeItta"]},
        help_text="The 8 characters after `cxp_` or `cxt_`. Null for an imported key.",
    )
    all_hospitals = serializers.BooleanField(help_text="The scope is all hospitals, and devices without a hospital.")
    hospitals = HospitalReferenceSerializer(many=True, allow_null=True, help_text="The scope; null if `all_hospitals`.")
    read_only = serializers.BooleanField(help_text="The key cannot write.")  # type: ignore[assignment]
    sandbox = serializers.BooleanField(help_text="The scope is the sandbox: a hospital without real devices.")
    legacy = serializers.BooleanField(help_text="An older system has issued the key.")
    naming = Text(_enum(*ApiKey.Naming.values), help_text="Naming of the fields.")
    page_size = serializers.IntegerField(min_value=1, help_text="Items per page if a request has no `size`.")
    unknown_holder = Text(
        _enum(*ApiKey.UnknownHolder.values), help_text="The effect of the name of an unknown hospital."
    )
    allowed_networks = serializers.ListField(
        child=serializers.CharField(), help_text="Networks from which the key can be used. Empty: from every address."
    )
    rate_limit = KeyRateLimitSerializer(allow_null=True, help_text="Null if the key has no rate limit.")
    created_at = _timestamp("Time when the key was issued.")
    expires_at = _timestamp("Time when the key expires; null if it does not.", allow_null=True)


KeyResponse = _envelope("KeyResponse", "A response with the settings of the API key.", data=KeySettingsSerializer())


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
