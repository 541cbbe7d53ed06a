"""What drf-spectacular cannot know of /api/schema: how texts are written, what headers answers have, what leads where.

Links (https://spec.openapis.org/oas/v3.1.0#link-object) say which part of an answer goes into which later request: a
program can follow them, and the tests do.
"""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension

from devices.api import patterns
from devices.drafts import MAX_LENGTH, TYPES

Document = dict[str, Any]

READING = {"getAll", "get", "getChanges"}

_TEXT = {"type": "string"}
REQUEST_ID = {
    "description": "Names this request: the client's own, if it sent a sane one, else a new one.",
    "required": True,
    "schema": _TEXT | {"pattern": patterns.REQUEST_ID},
}
ETAG = {
    "description": "What is told, as one tag: for If-Match and If-None-Match.",
    "schema": _TEXT | {"pattern": f"^{patterns.TAG}$"},
}
CACHE_CONTROL = {
    "description": "Only the client itself may keep it: private, no-cache with an ETag, else no-store.",
    "required": True,
    "schema": _TEXT | {"enum": ["private, no-cache", "no-store"]},
}
VARY = {"description": "It depends on the key.", "required": True, "schema": _TEXT | {"pattern": "x-api-key"}}
REPLAYED = {
    "description": "This is the first answer to this Idempotency-Key, given again.",
    "schema": _TEXT | {"enum": ["true"]},
}
RETRY_AFTER = {"description": "Seconds to wait before the next try.", "schema": {"type": "integer", "minimum": 1}}
CHALLENGE = {"description": "The header that has the key.", "required": True, "schema": {"const": "x-api-key"}}
RATE_LIMIT = {"description": "What is left of the limit, and when there is more.", "schema": _TEXT}
RATE_LIMIT_POLICY = {"description": "The limit of this key.", "schema": _TEXT}

HEADERS_BY_STATUS: dict[str, dict[str, Any]] = {
    "401": {"WWW-Authenticate": CHALLENGE},
    "409": {"Retry-After": RETRY_AFTER},
    "412": {"ETag": ETAG | {"required": True}},
    "429": {
        "Retry-After": RETRY_AFTER | {"required": True},
        "RateLimit": RATE_LIMIT,
        "RateLimit-Policy": RATE_LIMIT_POLICY,
    },
    "503": {"Retry-After": RETRY_AFTER | {"required": True}},
}
TAGGED = {"200", "201", "304"}

DESCRIPTIONS = {
    "200": "Done.",
    "201": "All are registered.",
    "207": "Each was dealt with by itself.",
    "400": "Not understood; `errors` has everything that is wrong.",
    "401": "No key, or one that does not open the registry.",
    "403": "The key may only read, or is bound to another hospital.",
    "404": "No such device within the key's reach.",
    "409": "A name or a MAC is another device's, or the first request with this Idempotency-Key is still running.",
    "410": "The device was taken out of the registry, or the cursor is too old.",
    "412": "The device is no longer what If-Match names. It is told as it is now.",
    "413": "More bytes or devices than one request may bring.",
    "415": "Send application/json.",
    "422": "The Idempotency-Key came with another request before.",
    "429": "A limit is exceeded; wait as long as Retry-After says. `conflict_limit`: a device was not compared.",
    "503": "The database does not answer. Try again.",
}

FIRST_OF_LIST, ONE = "$response.body#/data/0/id", "$response.body#/data/id"
ON_A_DEVICE = {"readIt": "get", "replaceIt": "update", "changeIt": "change", "takeItOut": "delete"}


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "devices.api.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "header", "name": "x-api-key"}


class NameFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "devices.api.serializers.NameField"

    def map_serializer_field(self, auto_schema: Any, direction: str) -> Document:
        if direction == "request":  # its length is in the pattern: the text as sent may be longer
            return _TEXT | {"minLength": 1, "pattern": patterns.TEXT}
        return _TEXT | {"minLength": 1, "maxLength": MAX_LENGTH}


class MacFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "devices.api.serializers.MacField"

    def map_serializer_field(self, auto_schema: Any, direction: str) -> Document:
        pattern = patterns.mac_sent() if direction == "request" else patterns.mac_kept()
        return _TEXT | {"pattern": pattern, "examples": ["D0:61:AE:D4:58:94"]}


class TypeFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "devices.api.serializers.TypeField"

    def map_serializer_field(self, auto_schema: Any, direction: str) -> Document:
        return _TEXT | {"enum": types_sent() if direction == "request" else list(TYPES)}


class PatternFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "devices.api.serializers.PatternField"

    def map_serializer_field(self, auto_schema: Any, direction: str) -> Document:
        return _TEXT | {"pattern": getattr(patterns, self.target.pattern)}


def types_sent() -> list[str]:
    return [*TYPES, *map(str.lower, TYPES)]


def distinct_operations(endpoints: list[tuple[str, str, str, Any]], **_kwargs: Any) -> list[Any]:
    """Leave out the twins with a trailing slash."""
    return [endpoint for endpoint in endpoints if not endpoint[0].endswith("/")]


def finish(result: Document, **_kwargs: Any) -> Document:
    """Say of each operation what is the same for all: how an answer is described, its headers, what it leads to."""
    # POST /api/device does the same as POST /api/devices, and an operationId is unique.
    result["paths"]["/api/device"]["post"]["operationId"] = "createAtDevice"
    for operation in _operations(result):
        name = operation["operationId"]
        if "requestBody" in operation:
            operation["requestBody"]["required"] = True
        for status, answer in operation["responses"].items():
            answer["description"] = answer["description"] or DESCRIPTIONS[status]
            answer["headers"] = _headers(name, status)
            if links := _links(name, status):
                answer["links"] = links
    schemas = result["components"]["schemas"]
    for name in ("Device", "RegisteredDevice"):
        schemas[name]["required"] = list(schemas[name]["properties"])  # an answer has all
    many, _one = schemas["DeviceOrDevicesRequest"]["oneOf"]
    many.update(minItems=1, maxItems=settings.API_MAX_DEVICES)
    for component in schemas.values():
        for field in component.get("properties", {}).values():
            field.pop("x-spec-enum-id", None)
    return result


def _operations(result: Document) -> Iterator[Document]:
    for path in result["paths"].values():
        yield from path.values()


def _headers(operation: str, status: str) -> Document:
    always = {"X-Request-ID": REQUEST_ID, "Cache-Control": CACHE_CONTROL, "Vary": VARY}
    headers = {**always, **HEADERS_BY_STATUS.get(status, {})}
    if status in TAGGED and operation not in ("delete", "getChanges"):
        required = operation == "get" or status == "304"
        headers["ETag"] = ETAG | {"required": True} if required else ETAG
    if operation not in READING and status.startswith("2"):  # errors are not stored
        headers["Idempotency-Replayed"] = REPLAYED
    return headers


def _links(operation: str, status: str) -> Document:
    if status == "200" and operation == "getChanges":
        goes_on = {"since": "$response.body#/data/0/cursor"}
        return {"goOn": {"operationId": "getChanges", "parameters": goes_on}} | _to_device(
            "$response.body#/data/0/device/id"
        )
    if status == "200" and operation == "getAll":
        return _to_device(FIRST_OF_LIST) | {
            "goOn": {"operationId": "getAll", "parameters": {"after": FIRST_OF_LIST}},
            "goBack": {"operationId": "getAll", "parameters": {"before": FIRST_OF_LIST}},
        }
    if status == "201":
        return _to_device(FIRST_OF_LIST)
    if operation == "get" and status == "200":
        return _to_device(ONE, **{"If-Match": "$response.header.ETag"})
    if (status == "200" and operation != "delete") or status == "412":
        return _to_device(ONE)
    return {}


def _to_device(expression: str, **to_write: str) -> Document:
    return {
        name: {
            "operationId": operation,
            "parameters": {"id_device": expression} | ({} if operation in READING else to_write),
        }
        for name, operation in ON_A_DEVICE.items()
    }
