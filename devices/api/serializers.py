"""Document the bodies of requests and responses for /api/schema.

The serializer classes only document: registry/device_fields.py validates what a client sends (and files and forms too),
device_rows.py and device_json.py serialize the devices of a response. The names of the classes are the names of the
components in /api/schema, and so of the classes in generated clients.
"""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from devices.api.schema import patterns
from devices.history.feed import ACTIONS
from devices.models import MAX_ID, MAX_PAGE_SIZE
from devices.registry.bulk import STATUSES
from devices.registry.similar_hospitals import MAX_SUGGESTIONS
from devices.values.device_types import DEVICE_TYPES
from devices.values.error_codes import ERROR_CODES
from devices.values.normalization import MAX_LENGTH

Schema = dict[str, Any] | Callable[[], dict[str, Any]]


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
            **enum_schema(*DEVICE_TYPES),
        }
        # The library has no option for a component that is not a serializer; test_generators.py expects this one.
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


def enum_schema(*values: str) -> dict[str, Any]:
    return {"enum": list(values), "examples": [values[0]]}


def id_field(**options: Any) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=1, max_value=MAX_ID, **options)


def timestamp_field(text: str, **options: Any) -> serializers.IntegerField:
    help_text = f"{text} Unix time in milliseconds."
    return serializers.IntegerField(min_value=0, max_value=MAX_ID, help_text=help_text, **options)


def _contact(example: str, limit: int, text: str) -> Text:
    return Text({"maxLength": limit, "examples": [example]}, help_text=f"{text} Empty if the operator has not set it.")


class DeviceSerializer(serializers.Serializer[Any]):
    """A medical device."""

    id = id_field(read_only=True, help_text="Assigned by the registry, and never reused.")
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
    created_at = timestamp_field("Time of the registration.", read_only=True)
    updated_at = timestamp_field("Time of the last change.", read_only=True)


class IdentifiedDeviceSerializer(DeviceSerializer):
    """A device that is identified by its `id`, or without an `id` by its `device_mac`."""

    id = id_field(required=False, allow_null=True, help_text="Omitted or null: `device_mac` identifies the device.")


class RegisteredDeviceSerializer(DeviceSerializer):
    """A device after its registration or update, or in a dry run as it would be."""

    id = id_field(
        read_only=True, allow_null=True, help_text="Assigned by the registry; null for a new device in a dry run."
    )


CURSOR = {"pattern": patterns.CURSOR, "examples": ["AxskM3BqivzGeYjOb-14etiYwUutyz7Gqu2M7YaUhH1-hCbs3L4MM4X1ZAmu"]}


class HospitalSerializer(serializers.Serializer[Any]):
    """A hospital."""

    hospital_id = id_field(help_text="Assigned by the registry, and never reused.")
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
    created_at = timestamp_field("Time of the registration.")
    updated_at = timestamp_field(
        "Time of the last change of the name or of the contact data. A change of `device_count` does not change it."
    )


class HospitalReferenceSerializer(serializers.Serializer[Any]):
    """The id and the name of a hospital."""

    hospital_id = id_field(help_text="Send it to `GET /api/hospital/{hospital_id}`.")
    hospital_name = _name("RS Sentosa", help_text="The current name.")


class ChangeSerializer(serializers.Serializer[Any]):
    """One change of a device."""

    cursor = Text(CURSOR, help_text="Position of this change. Send it in `since` to continue after it.")
    action = Text(
        enum_schema(*ACTIONS),
        help_text="For a key of one hospital, `created` can also mean that the device came from another hospital, and "
        "`deleted` that it was transferred to another hospital.",
    )
    at = timestamp_field("Time of the change.")
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
        enum_schema(*STATUSES),
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


def envelope(name: str, description: str, **fields: Any) -> Any:
    """Return a serializer class for an envelope with these fields. The envelope of a list is not a list."""
    return extend_schema_serializer(many=False)(type(name, (Envelope,), {"__doc__": description, **fields}))


class RegisteredHospitalSerializer(serializers.Serializer[Any]):
    """A hospital that the request has registered, because a `device_holder` was a new name."""

    hospital_id = id_field(read_only=True, allow_null=True, help_text="Assigned by the registry; null in a dry run.")
    hospital_name = serializers.CharField(max_length=MAX_LENGTH, help_text="The normalized `device_holder`.")


def _new_hospitals() -> Any:
    help_text = "The hospitals that this request registered. Omitted if there are none."
    return RegisteredHospitalSerializer(many=True, required=False, help_text=help_text)


def _no_data() -> serializers.ListField:
    return serializers.ListField(child=serializers.DictField(), max_length=0, help_text="Always empty.")


DeviceResponse = envelope("DeviceResponse", "A response with one device.", data=DeviceSerializer())
UpdatedDeviceResponse = envelope(
    "UpdatedDeviceResponse",
    "A response with the updated device.",
    data=DeviceSerializer(),
    hospitals_registered=_new_hospitals(),
)
DeviceListResponse = envelope(
    "DeviceListResponse", "A page of devices.", data=DeviceSerializer(many=True), pagination=Pagination()
)
RegisteredDevicesResponse = envelope(
    "RegisteredDevicesResponse",
    "The registered devices, in the order of the posted array.",
    data=RegisteredDeviceSerializer(many=True),
    hospitals_registered=_new_hospitals(),
)
BulkResponse = envelope(
    "BulkResponse",
    "One result per item, in the order of the posted array.",
    data=BulkResultSerializer(many=True),
    hospitals_registered=_new_hospitals(),
)
ChangeFeedResponse = envelope(
    "ChangeFeedResponse", "A page of changes.", data=ChangeSerializer(many=True), pagination=ChangeFeedPagination()
)
EmptyResponse = envelope("EmptyResponse", "A response without data.", data=_no_data())
ApiErrorResponse = envelope("ApiErrorResponse", "A response with errors.", data=_no_data(), errors=ApiError(many=True))
PreconditionFailedResponse = envelope(
    "PreconditionFailedResponse",
    "The device has changed since the version in `If-Match`. `data` is the device as it is now.",
    data=DeviceSerializer(),
    errors=ApiError(many=True),
)

HospitalResponse = envelope("HospitalResponse", "A response with one hospital.", data=HospitalSerializer())
HospitalListResponse = envelope(
    "HospitalListResponse", "A page of hospitals.", data=HospitalSerializer(many=True), pagination=Pagination()
)
MergedHospitalResponse = envelope(
    "MergedHospitalResponse",
    "The hospital was merged into `successor`.",
    data=_no_data(),
    errors=ApiError(many=True),
    successor=HospitalReferenceSerializer(),
)
