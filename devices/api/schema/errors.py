"""The error responses of each status, with examples, for /api/schema.

The examples are made by the functions that make the responses, and validate a device where possible.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import orjson
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import override
from drf_spectacular.utils import OpenApiExample
from rest_framework.exceptions import APIException

from devices.api.exceptions import (
    BodyTooLarge,
    CursorExpired,
    DeviceRetired,
    IdempotencyKeyReused,
    RequestInProgress,
    TooManyRequests,
    Unavailable,
)
from devices.api.pagination import MAX_SIZE
from devices.api.permissions import HasApiKey
from devices.api.responses import error_response, error_with_data
from devices.api.schema import examples
from devices.registry import device_data
from devices.registry.validation import DUPLICATE_MESSAGES, NOT_COMPARED, OTHER_HOSPITAL_OF_KEY, UNIQUE_MESSAGES
from devices.values.errors import CONFLICT_LIMIT, DUPLICATE, FORBIDDEN, UNIQUE, FieldError


class ErrorDescription(NamedTuple):
    """The meaning of an error status for an operation, with examples of its response."""

    description: str
    examples: list[OpenApiExample]


def _example(name: str, status: int, *errors: FieldError) -> OpenApiExample:
    with override("en"):
        return OpenApiExample(name, orjson.loads(error_response(errors, status).content))


def _raised(name: str, exception: type[APIException], message: str = "") -> OpenApiExample:
    with override("en"):
        error = FieldError(None, exception.default_code, message or str(exception.default_detail))
    return _example(name, exception.status_code, error)


def _english(message: str | Promise, **values: int) -> str:
    with override("en"):
        return str(message) % values


def _field_errors(fields: dict[str, Any], index: int | None = None) -> Iterable[FieldError]:
    """Return the errors of the validation of these fields."""
    with override("en"):
        return [replace(error, index=index) for error in device_data.validate(fields, ())[1]]


INVALID_FIELDS = {"device_name": "", "device_type": "PRIVATE"}
INVALID_DEVICE = _example("Invalid fields", 400, *_field_errors(INVALID_FIELDS))
INVALID_DEVICES = _example(
    "Invalid devices",
    400,
    *_field_errors(INVALID_FIELDS, 0),
    FieldError("device_mac", DUPLICATE, _english(DUPLICATE_MESSAGES["device_mac"], index=1), 2),
)
INVALID_SIZE = _example(
    "Invalid parameter", 400, FieldError("size", "out_of_range", f"Send a whole number from 1 to {MAX_SIZE}.")
)
INVALID_DRY_RUN = _example(
    "Invalid parameter", 400, FieldError("dry_run", "invalid_choice", "Send one of: false, true.")
)
UNKNOWN_PARAMETER = _example(
    "Unknown parameter",
    400,
    FieldError("sise", "unknown_parameter", "There is no parameter of this name. Known here: page, size."),
)
NAME_TAKEN = FieldError("device_name", UNIQUE, UNIQUE_MESSAGES["device_name"])
MAC_TAKEN = FieldError("device_mac", UNIQUE, UNIQUE_MESSAGES["device_mac"])
NOT_COMPARED_ERROR = FieldError("device_name", CONFLICT_LIMIT, _english(NOT_COMPARED, minutes=480))
STILL_RUNNING = _raised("First request still running", RequestInProgress)
OTHER_HOSPITAL = FieldError("device_holder", FORBIDDEN, OTHER_HOSPITAL_OF_KEY)
READ_ONLY = _example("Read-only key", 403, FieldError(None, HasApiKey.code, HasApiKey.message))
RATE_LIMITED = _raised("Rate limit", TooManyRequests, "This API key has used up its 600/min. Ask again in 12 seconds.")

NO_VALID_KEY = FieldError(
    "x-api-key", "not_authenticated", "The x-api-key header is missing, or its key does not open the registry."
)
NOT_FOUND = FieldError(None, "not_found", "No such device is registered.")
UNSUPPORTED_MEDIA_TYPE = FieldError(None, "unsupported_media_type", "Send the body as application/json.")
OUTDATED = FieldError(
    "if-match", "outdated", "The device has changed since; nothing was written. Here is what it is now."
)
INVALID_REQUEST = "The request is invalid. `errors` lists all errors."
ERRORS = {
    400: ErrorDescription(INVALID_REQUEST, [UNKNOWN_PARAMETER]),
    401: ErrorDescription(
        "The API key is missing, unknown, revoked or expired.",
        [_example("No valid key", 401, NO_VALID_KEY)],
    ),
    403: ErrorDescription(
        "The API key is read-only, or limited to another hospital.",
        [READ_ONLY, _example("Another hospital", 403, OTHER_HOSPITAL)],
    ),
    404: ErrorDescription(
        "The device does not exist, or it is outside the scope of the API key.",
        [_example("No such device", 404, NOT_FOUND)],
    ),
    409: ErrorDescription(
        "Another device has this name or MAC address, or the first request with this `Idempotency-Key` is still "
        "running.",
        [_example("Name already registered", 409, NAME_TAKEN), STILL_RUNNING],
    ),
    410: ErrorDescription("The device was retired.", [_raised("Retired device", DeviceRetired)]),
    412: ErrorDescription(
        "The device has changed since the version in `If-Match`. `data` is the device as it is now.",
        [OpenApiExample("Changed device", orjson.loads(error_with_data(412, OUTDATED, examples.MOVED).content))],
    ),
    413: ErrorDescription(
        f"The body is too large: more than {settings.API_MAX_BODY:,} bytes or {settings.API_MAX_DEVICES:,} devices.",
        [_raised("Too many bytes", BodyTooLarge, f"A request may have at most {settings.API_MAX_BODY} bytes.")],
    ),
    415: ErrorDescription(
        "The content type is not `application/json`.",
        [_example("Another content type", 415, UNSUPPORTED_MEDIA_TYPE)],
    ),
    422: ErrorDescription(
        "This `Idempotency-Key` was used for a different request.", [_raised("Reused key", IdempotencyKeyReused)]
    ),
    429: ErrorDescription("A limit is exceeded. Retry after `Retry-After` seconds.", [RATE_LIMITED]),
    503: ErrorDescription(
        "The database is temporarily unavailable. Retry after `Retry-After` seconds, a write with the same "
        "`Idempotency-Key`.",
        [_raised("Database unavailable", Unavailable)],
    ),
}

# --- Differences for some operations

WRITE_LIMITED = ErrorDescription(
    "A limit is exceeded. Retry after `Retry-After` seconds. With the code `conflict_limit`, too many conflicts with "
    "devices outside the key's scope were reported, so the device was not compared with them.",
    [RATE_LIMITED, _example("Limit of conflicts", 429, NOT_COMPARED_ERROR)],
)
REGISTER = {
    400: ErrorDescription(INVALID_REQUEST, [INVALID_DEVICES]),
    403: ErrorDescription(
        ERRORS[403].description, [READ_ONLY, _example("Another hospital", 403, replace(OTHER_HOSPITAL, index=0))]
    ),
    409: ErrorDescription(
        ERRORS[409].description,
        [_example("MAC address already registered", 409, replace(MAC_TAKEN, index=0)), STILL_RUNNING],
    ),
    429: WRITE_LIMITED,
}
UPDATE = {400: ErrorDescription(INVALID_REQUEST, [INVALID_DEVICE]), 429: WRITE_LIMITED}
LIST = {400: ErrorDescription(INVALID_REQUEST, [INVALID_SIZE])}
RETIRE = {
    400: ErrorDescription(INVALID_REQUEST, [INVALID_DRY_RUN]),
    403: ErrorDescription("The API key is read-only.", [READ_ONLY]),
    409: ErrorDescription("The first request with this `Idempotency-Key` is still running.", [STILL_RUNNING]),
}
CHANGE_FEED = {
    **LIST,
    410: ErrorDescription(
        "The cursor is too old, or belongs to another scope. Delete your copy and start again without `since`.",
        [_raised("Cursor too old", CursorExpired)],
    ),
}

# For `examples`, which does not know errors: one item was registered, and another has an error.
PARTIAL_SUCCESS = examples.success(
    "Partial success",
    [
        {"index": 0, "status": "created", "device": examples.registered(7, examples.CUFF)},
        {"index": 1, "status": "conflict", "errors": _example("", 409, MAC_TAKEN).value["errors"]},
    ],
    "Devices were processed individually.",
    207,
)
