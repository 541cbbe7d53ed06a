"""Document the routes for /api/schema: operationIds, parameters, responses and their headers."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_view,
)

from devices.api.filters import MAX_MILLISECONDS, ORDERINGS
from devices.api.pagination import DEFAULT_SIZE, MAX_PAGE, MAX_SIZE
from devices.api.schema import patterns
from devices.api.serializers import (
    TYPES_SENT,
    Changes,
    Devices,
    DeviceSerializer,
    Failure,
    NamedDeviceSerializer,
    Nothing,
    OneDevice,
    Outdated,
    RegisteredDevices,
    Results,
)
from devices.models import IDEMPOTENCY_KEY_LENGTH, MAX_ID
from devices.registry.device_data import CLEANERS

F = TypeVar("F", bound=Callable[..., Any])

MAX_WAIT = 30  # seconds
DESCRIPTIONS = {
    200: "Done.",
    201: "All are registered.",
    207: "Each device has its own result.",
    304: "What If-None-Match names has not changed.",
    400: "Malformed; `errors` lists all that is wrong.",
    401: "No key, or one that does not open the registry.",
    403: "The key may only read, or is bound to another hospital.",
    404: "No such device in the key's scope.",
    409: "A name or a MAC is another device's, or the first request with this Idempotency-Key is still running.",
    410: "The device was taken out of the registry, or the cursor is too old.",
    412: "The device is no longer what If-Match names. `data` is the device as it is now.",
    413: "More bytes or devices than a request may have.",
    415: "Send application/json.",
    422: "The Idempotency-Key came with another request before.",
    429: "A limit is exceeded; wait as long as Retry-After says. `conflict_limit`: a device was not compared.",
    503: "The database does not answer. Try again.",
}


def _header(
    name: str, description: str, schema: dict[str, Any] | type, on: Sequence[int] | bool = False, **more: Any
) -> OpenApiParameter:
    """Describe a header of the request, or of the responses with these statuses (True: of all)."""
    return OpenApiParameter(name, schema, OpenApiParameter.HEADER, description=description, response=on, **more)


def _text(pattern: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern, **more}


def _integer(minimum: int, maximum: int, **more: Any) -> dict[str, Any]:
    return {"type": "integer", "minimum": minimum, "maximum": maximum, **more}


def _enum(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


def _query(name: str, description: str, schema: dict[str, Any]) -> OpenApiParameter:
    return OpenApiParameter(name, schema, description=description)


NAME = _text(patterns.TEXT)
RETRY_AFTER = ("Retry-After", "Seconds to wait before the next request.", {"type": "integer", "minimum": 1})
ETAG = ("ETag", "The version, for If-Match and If-None-Match.", _text(f"^{patterns.TAG}$"))
CACHES = _enum("private, no-cache", "no-store")
COMMON = [
    _header("X-Request-ID", "The client's own, or a new one.", _text(patterns.REQUEST_ID), on=True, required=True),
    _header("Cache-Control", "`private, no-cache` with an ETag, else `no-store`.", CACHES, on=True, required=True),
    _header("Vary", "The response depends on the key.", _text("x-api-key"), on=True, required=True),
    _header("WWW-Authenticate", "The header that has the key.", {"const": "x-api-key"}, on=[401], required=True),
    _header(*RETRY_AFTER, on=[429, 503], required=True),
    _header("RateLimit", "What is left of the limit, and when there is more.", str, on=[429]),
    _header("RateLimit-Policy", "The limit of this key.", str, on=[429]),
]
READING = [
    _header("If-None-Match", "Only if this is not its ETag.", str),
    _header(*ETAG, on=[200, 304], required=True),
]
WRITING = [
    _header(
        "Idempotency-Key",
        "Execute the request once: for 24 hours the same key gets the first response again.",
        _text(patterns.IDEMPOTENCY_KEY, minLength=1, maxLength=IDEMPOTENCY_KEY_LENGTH),
    ),
    _query("dry_run", "`true`: return what would happen, and write nothing.", _enum("false", "true")),
    _header("Idempotency-Replayed", "This response was stored.", _enum("true"), on=[200, 201, 207]),
    _header(*RETRY_AFTER, on=[409]),
]
IF_MATCH = [
    _header("If-Match", "Only if this is its ETag; `*`: any ETag.", _text(patterns.TAGS, format="entity-tags")),
    _header(*ETAG, on=[412], required=True),
]
TAGGED = _header(*ETAG, on=[200, 201])  # not in a dry run
BULK = [
    _query("mode", "`partial`: register what is right, and report the rest.", _enum("all", "partial")),
    _query("on_conflict", "`update`: change a device that has the posted MAC.", _enum("refuse", "update")),
]
ID = OpenApiParameter(
    "id_device", _integer(1, MAX_ID, format="int64"), OpenApiParameter.PATH, description="The device's id."
)
FIRST = settings.API_FIRST_PAGE
PAGE = _query("page", "The number of the page.", _integer(FIRST, MAX_PAGE, default=FIRST))
SIZE = _query("size", "The number of items of a page.", _integer(1, MAX_SIZE, default=DEFAULT_SIZE))
INSTANT = _integer(0, MAX_MILLISECONDS)
WITHOUT_EFFECT = [OpenApiParameter(name, str, description="Accepted, without effect.") for name in ("page", "size")]
LIST = [
    PAGE,
    SIZE,
    _query("after", "Only greater ids. `next` uses it: follow that, and miss nothing.", _integer(0, MAX_ID)),
    _query("before", "Only smaller ids: the page that ends there. `previous` uses it.", _integer(0, MAX_ID)),
    _query("device_name", "The device of exactly this name.", NAME),
    _query("device_mac", "The device of this address, in any notation.", _text(patterns.mac_sent())),
    _query("device_type", "Devices of this type, in capitals or small letters.", _enum(*TYPES_SENT)),
    _query("device_holder", "Devices of the hospital of this name, in any case; `unknown`: of no hospital.", NAME),
    _query("search", "A part of a name, a MAC or a holder, in any case.", _text(patterns.TEXT_OR_NONE)),
    _query("updated_since", "Changed at this instant or later; milliseconds since 1970 UTC.", INSTANT),
    _query("created_since", "Registered at this instant or later; likewise.", INSTANT),
    _query("ordering", "The order; `id` breaks ties.", _enum(*ORDERINGS)),
]
ONE_OR_MANY = PolymorphicProxySerializer(
    component_name="DeviceOrDevices",
    serializers=[DeviceSerializer(many=True), DeviceSerializer],
    resource_type_field_name=None,
    many=False,
)
ON_WRITING = (403, 409, 413, 415, 422)


def _operation(
    operation_id: str, parameters: Sequence[OpenApiParameter], good: dict[int, Any], *bad: int, **more: Any
) -> Callable[[F], F]:
    bodies = good | dict.fromkeys(sorted([*bad, 400, 401, 429, 503]), Failure)
    return extend_schema(
        operation_id=operation_id,
        tags=["Devices"],
        parameters=[*parameters, *COMMON],
        responses={status: OpenApiResponse(body, DESCRIPTIONS[status]) for status, body in bodies.items()},
        **more,
    )


def _update(operation_id: str, *parameters: OpenApiParameter, **more: Any) -> Callable[[F], F]:
    responses = {200: OneDevice, 412: Outdated}
    return _operation(
        operation_id, [*parameters, *WRITING, *IF_MATCH, TAGGED], responses, 404, 410, *ON_WRITING, **more
    )


documented = extend_schema_view(
    list=_operation(
        "getAll",
        [*LIST, *READING],
        {200: Devices, 304: None},
        summary="List devices",
        description="By ascending id. Follow `pagination.next` from the first page to get every device exactly once.",
    ),
    retrieve=_operation(
        "get",
        [ID, *WITHOUT_EFFECT, *READING],
        {200: OneDevice, 304: None},
        *(404, 410),
        summary="Read a device",
        description="A device that was taken out is 410; one outside the key's scope, or never registered, 404.",
    ),
    create=_operation(
        "create",
        [*BULK, *WRITING, TAGGED],
        {201: RegisteredDevices, 207: Results},
        *ON_WRITING,
        request=ONE_OR_MANY,
        summary="Register devices, all or none",
        description="A list, or one object. On an error nothing is registered, and `errors` lists all that is wrong.",
    ),
    update=_update(
        "update",
        ID,
        summary="Replace a device's fields; a holder left out stays",
        description="A device can be sent back as it was read: what the registry sets itself is ignored.",
    ),
    partial_update=_update(
        "change",
        ID,
        summary="Change the given fields of a device",
        description="What is left out stays as it is.",
    ),
    destroy=_operation(
        "delete",
        [ID, *WRITING, *IF_MATCH],
        {200: Nothing, 412: Outdated},
        *(403, 404, 409, 410, 422),
        summary="Take a device out of the registry",
        description="Its history stays, its id is not given again, its name and MAC are free.",
    ),
)

# Not one of DRF's own actions, so it is documented where it stands.
named_update = _update(
    "updateNamed",
    request=NamedDeviceSerializer,
    summary="Replace the fields of the device that the body names, by id or else by device_mac",
    description="A holder left out stays. What the registry sets itself is ignored.",
)

followed = _operation(
    "getChanges",
    [
        _query("since", "A cursor; left out: all changes; `now`: only new ones.", _text(patterns.CURSOR_OR_NOW)),
        SIZE,
        _query("wait", "Seconds to hold the request until there is a change.", _integer(0, MAX_WAIT, default=0)),
    ],
    {200: Changes},
    410,
    summary="Follow what happens to the devices",
    description="In one order that never changes. Follow `pagination.next`: no change is left out or repeated. For the "
    "key of a hospital, a device that leaves the hospital is `deleted`, and one that comes is `created`.",
)


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "devices.api.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "header", "name": "x-api-key"}


def without_trailing_slash(endpoints: list[tuple[str, str, str, Any]], **_kwargs: Any) -> list[Any]:
    return [endpoint for endpoint in endpoints if not endpoint[0].endswith("/")]


# Where a response has the id of a device. Programs and test_api_conformance.py follow it to the next request.
ID_IN = {
    **dict.fromkeys(("getAll", "create", "createAtDevice"), "/data/0/id"),
    **dict.fromkeys(("get", "update", "change", "updateNamed"), "/data/id"),
    "getChanges": "/data/0/device/id",
}


def _links(operation_id: str) -> dict[str, Any]:
    by_id = {"id_device": f"$response.body#{ID_IN[operation_id]}"}
    unchanged = {"If-Match": "$response.header.ETag"} if operation_id == "get" else {}
    links = {name: (name, by_id | unchanged) for name in ("update", "change", "delete")} | {"get": ("get", by_id)}
    if operation_id == "getChanges":
        links["next"] = ("getChanges", {"since": "$response.body#/data/0/cursor"})
    return {name: {"operationId": target, "parameters": sent} for name, (target, sent) in links.items()}


def postprocess(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """Add what drf-spectacular has no option for."""
    # POST /api/device does the same as POST /api/devices, and an operationId is unique.
    result["paths"]["/api/device"]["post"]["operationId"] = "createAtDevice"
    for path in result["paths"].values():
        for operation in path.values():
            if "requestBody" in operation:
                operation["requestBody"]["required"] = True
            for status in {"200", "201"} & operation["responses"].keys():
                if operation["operationId"] in ID_IN:
                    operation["responses"][status]["links"] = _links(operation["operationId"])
    schemas = result["components"]["schemas"]
    for name in ("Device", "RegisteredDevice"):
        schemas[name]["required"] = list(schemas[name]["properties"])  # a response has all
    schemas["PatchedDeviceRequest"]["anyOf"] = [{"required": [field]} for field in CLEANERS]
    schemas["DeviceOrDevicesRequest"]["oneOf"][0] |= {"minItems": 1, "maxItems": settings.API_MAX_DEVICES}
    return result
