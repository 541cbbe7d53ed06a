"""The bodies of the lookup and of the changes of one device, with examples, for /api/schema."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from devices.api.request_bodies import MAX_LOOKUP
from devices.api.responses import serialize_errors
from devices.api.schema import examples
from devices.api.schema.errors import invalid_mac
from devices.api.serializers import CURSOR, ApiError, ChangeSerializer, DeviceSerializer, Envelope, Text
from devices.models import MAX_PAGE_SIZE

ADDRESS = "D0:61:AE:D4:58:94"


class LookupSerializer(serializers.Serializer[Any]):
    """The MAC addresses to look up. A key of any naming can also send the field as `deviceMac`."""

    device_mac = serializers.ListField(
        child=Text({"examples": [ADDRESS]}),
        min_length=1,
        max_length=MAX_LOOKUP,
        help_text="MAC addresses in any usual notation, also several times. Another text has `errors` in its result.",
    )


class LookupResultSerializer(serializers.Serializer[Any]):
    """The result for one item of the posted array."""

    device_mac = Text(
        {"type": ["string", "null"], "examples": [ADDRESS]},
        help_text="The item as you sent it. A number becomes its digits. Null for an item of another type.",
    )
    device = DeviceSerializer(
        allow_null=True,
        help_text="The device with this MAC address. Null if there is none, or none in the scope of the API key.",
    )
    errors = ApiError(  # type: ignore[assignment]
        many=True, required=False, help_text="Only if the item is not a MAC address: why it is not."
    )


class DeviceChangesPagination(serializers.Serializer[Any]):
    """The place to continue in the changes of a device."""

    size = serializers.IntegerField(min_value=1, max_value=MAX_PAGE_SIZE, help_text="Maximum changes per page.")
    cursor = Text(
        CURSOR | {"type": ["string", "null"]}, help_text="The value of `since` in `next`. Null on the last page."
    )
    next = serializers.URLField(allow_null=True, help_text="URL of the next page. Null on the last page.")


@extend_schema_serializer(many=False)
class LookupResponse(Envelope):
    """One result per item, in the order of the posted array."""

    data = LookupResultSerializer(many=True)  # type: ignore[assignment]


@extend_schema_serializer(many=False)
class DeviceChangesResponse(Envelope):
    """A page of the changes of one device."""

    data = ChangeSerializer(many=True)  # type: ignore[assignment]
    pagination = DeviceChangesPagination()


NOTATIONS = ["d061.aed4.5894", "D0-61-AE-D4-58-99", "D0:61:AE:D4:58"]
LOOKUP = OpenApiExample("Three addresses", {"device_mac": NOTATIONS})
LOOKED_UP = examples.success(
    "A device, an unknown address and an invalid one",
    [
        {"device_mac": NOTATIONS[0], "device": examples.registered(7, examples.CUFF)},
        {"device_mac": NOTATIONS[1], "device": None},
        {"device_mac": NOTATIONS[2], "device": None, "errors": serialize_errors([invalid_mac(count=10)], {})},
    ],
    "MAC addresses looked up.",
)
DEVICE_CHANGES = examples.success(
    "Changes of a device",
    [
        {"cursor": examples.CURSORS[0], "action": "created", "at": examples.REGISTERED_AT}
        | {"device": examples.registered(7, examples.CUFF)},
        {"cursor": examples.CURSORS[1], "action": "updated", "at": examples.UPDATED_AT, "device": examples.MOVED},
    ],
    "Changes returned.",
    pagination={"size": 20, "cursor": None, "next": None},
)
