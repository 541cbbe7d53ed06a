"""What /api/schema says of the routes: the documented operationIds, every parameter, every answer."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_view,
)

from devices.api import patterns
from devices.api.answers import Changes, Devices, Failure, Nothing, OneDevice, Outdated, RegisteredDevices, Results
from devices.api.filters import MAX_MILLISECONDS, ORDERINGS
from devices.api.openapi import types_sent
from devices.api.pagination import DEFAULT_SIZE, MAX_PAGE, MAX_SIZE
from devices.api.serializers import DeviceSerializer, NamedDeviceSerializer
from devices.models import IDEMPOTENCY_KEY_LENGTH, MAX_ID


def _answers(good: dict[int, Any], *bad: int) -> dict[int, Any]:
    return good | dict.fromkeys(sorted([*bad, 400, 401, 429, 503]), Failure)


def _integer(name: str, low: int, high: int, description: str, default: int | None = None) -> OpenApiParameter:
    schema = {"type": "integer", "minimum": low, "maximum": high}
    if default is not None:
        schema["default"] = default
    return OpenApiParameter(name, schema, description=description)


def _choice(name: str, description: str, choices: Sequence[str]) -> OpenApiParameter:
    return OpenApiParameter(name, str, description=description, enum=choices)


def _text(name: str, description: str, pattern: str = patterns.TEXT) -> OpenApiParameter:
    return OpenApiParameter(name, {"type": "string", "pattern": pattern}, description=description)


IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_LENGTH, "pattern": patterns.IDEMPOTENCY_KEY},
    OpenApiParameter.HEADER,
    description="Do it once: the same key is given the first answer again, for 24 hours.",
)
DRY_RUN = _choice("dry_run", "Answer what would happen, and write nothing.", ["false", "true"])
WRITING = [IDEMPOTENCY_KEY, DRY_RUN]
BULK = [
    _choice("mode", "`partial`: register what is right, and tell the rest.", ["all", "partial"]),
    _choice("on_conflict", "`update`: give a device that is known by its MAC the posted values.", ["refuse", "update"]),
]
NOT_MODIFIED = OpenApiResponse(description="What If-None-Match names has not changed.")
IF_MATCH = OpenApiParameter(
    "If-Match",
    {"type": "string", "format": "entity-tags", "pattern": patterns.TAGS},
    OpenApiParameter.HEADER,
    description="Only if this is its ETag; `*`: whichever it is.",
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="Only if this is not its ETag."
)
ID = OpenApiParameter(
    "id_device",
    {"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_ID},
    OpenApiParameter.PATH,
    description="The device's id.",
)
FIRST = settings.API_FIRST_PAGE
PAGE = _integer("page", FIRST, MAX_PAGE, "The number of the page.", FIRST)
SIZE = _integer("size", 1, MAX_SIZE, "How many devices a page has.", DEFAULT_SIZE)
WITHOUT_EFFECT = [OpenApiParameter(name, str, description="Accepted, without effect.") for name in ("page", "size")]
LIST = [
    PAGE,
    SIZE,
    _integer("after", 0, MAX_ID, "Only ids greater than this. `next` uses it: follow that, and miss nothing."),
    _integer("before", 0, MAX_ID, "Only ids smaller than this: the page that ends there. `previous` uses it."),
    _text("device_name", "The device of exactly this name."),
    _text("device_mac", "The device of this address, in any notation.", patterns.mac_sent()),
    _choice("device_type", "Devices of this type, in capitals or small letters.", types_sent()),
    _text("device_holder", "Devices of the hospital of this name, in any case; `unknown`: of no hospital."),
    _text("search", "A part of a name, a MAC or a holder, in any case.", patterns.TEXT_OR_NONE),
    _integer("updated_since", 0, MAX_MILLISECONDS, "Changed at this instant or later; milliseconds since 1970 UTC."),
    _integer("created_since", 0, MAX_MILLISECONDS, "Registered at this instant or later; likewise."),
    _choice("ordering", "The order; `id` breaks ties.", ORDERINGS),
]
MAX_WAIT = 30  # seconds
TAGS = ["Devices"]
ONE_OR_MANY = PolymorphicProxySerializer(
    component_name="DeviceOrDevices",
    serializers=[DeviceSerializer(many=True), DeviceSerializer],
    resource_type_field_name=None,
    many=False,
)

documented = extend_schema_view(
    list=extend_schema(
        tags=TAGS,
        operation_id="getAll",
        description="By ascending id. Follow `pagination.next` from the first page to get every device exactly once.",
        summary="List devices",
        parameters=[*LIST, IF_NONE_MATCH],
        responses=_answers({200: Devices, 304: NOT_MODIFIED}),
    ),
    retrieve=extend_schema(
        tags=TAGS,
        operation_id="get",
        description="A device that was taken out is 410; one beyond the key's reach, or never there, 404.",
        summary="Read a device",
        parameters=[ID, *WITHOUT_EFFECT, IF_NONE_MATCH],
        responses=_answers({200: OneDevice, 304: NOT_MODIFIED}, 404, 410),
    ),
    create=extend_schema(
        tags=TAGS,
        operation_id="create",
        description="A list, or one object. On an error nothing is registered, and `errors` lists all that is wrong.",
        summary="Register devices, all or none",
        parameters=[*BULK, *WRITING],
        request=ONE_OR_MANY,
        responses=_answers({201: RegisteredDevices, 207: Results}, 403, 409, 413, 415, 422),
    ),
    update=extend_schema(
        tags=TAGS,
        operation_id="update",
        description="A row can be sent back as it was read: what the registry sets itself is ignored.",
        summary="Replace a device's fields; a holder left out stays",
        parameters=[ID, *WRITING, IF_MATCH],
        responses=_answers({200: OneDevice, 412: Outdated}, 403, 404, 409, 410, 413, 415, 422),
    ),
    partial_update=extend_schema(
        tags=TAGS,
        operation_id="change",
        description="What is left out stays as it is.",
        summary="Change the given fields of a device",
        parameters=[ID, *WRITING, IF_MATCH],
        responses=_answers({200: OneDevice, 412: Outdated}, 403, 404, 409, 410, 413, 415, 422),
    ),
    destroy=extend_schema(
        tags=TAGS,
        operation_id="delete",
        description="Its history stays, its id is never given again, its name and MAC are free.",
        summary="Take a device out of the registry",
        parameters=[ID, *WRITING, IF_MATCH],
        responses=_answers({200: Nothing, 412: Outdated}, 403, 404, 409, 410, 422),
    ),
)

# Not one of DRF's own actions, so it is documented where it stands.
named_update = extend_schema(
    tags=TAGS,
    operation_id="updateNamed",
    description="A holder left out stays. What the registry sets itself is ignored.",
    summary="Replace the fields of the device that the body names, by id or else by device_mac",
    request=NamedDeviceSerializer,
    parameters=[*WRITING, IF_MATCH],
    responses=_answers({200: OneDevice, 412: Outdated}, 403, 404, 409, 410, 413, 415, 422),
)


followed = extend_schema(
    tags=TAGS,
    operation_id="getChanges",
    description="In one order that never changes. Follow `pagination.next`: nothing is left out or told twice. A "
    "hospital's key is told of a device that leaves its hospital as `deleted`, of one that comes as `created`.",
    summary="Follow what happens to the devices",
    parameters=[
        _text("since", "A cursor; left out: from the beginning; `now`: only what comes.", patterns.CURSOR_OR_NOW),
        _integer("size", 1, MAX_SIZE, "How many changes a page has.", DEFAULT_SIZE),
        _integer("wait", 0, MAX_WAIT, "Seconds to hold the request until there is something.", 0),
    ],
    responses=_answers({200: Changes}, 410),
)
