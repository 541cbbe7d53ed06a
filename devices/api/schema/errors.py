"""The error responses of each status, with examples, for /api/schema.

The messages are those of the reference (devices/api/error_reference), and error_response makes the bodies.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import orjson
from django.conf import settings
from django.utils.translation import override
from drf_spectacular.utils import OpenApiExample

from devices.api.error_reference import ERRORS as REFERENCE
from devices.api.pagination import MAX_SIZE
from devices.api.responses import error_response, error_with_data, serialize_errors
from devices.api.schema import examples
from devices.values.device_types import DEVICE_TYPES
from devices.values.error_codes import ErrorCode
from devices.values.errors import FieldError


class ErrorDescription(NamedTuple):
    """The meaning of an error status for an operation, with examples of its response."""

    description: str
    examples: list[OpenApiExample]


def _error(
    code: ErrorCode, field: str | None = None, item: int | None = None, variant: int = 0, **values: object
) -> FieldError:
    """Return an error, of an item of the array if given, with one of the messages of its code, by default the first."""
    return FieldError(field, code, REFERENCE[code].messages[variant].format(**values), item)


def _example(name: str, *errors: FieldError, **more: Any) -> OpenApiExample:
    """Return an example of the response to these errors, which have the same status, with further fields."""
    with override("en"):
        response = error_response(errors, REFERENCE[ErrorCode(errors[0].code)].status, **more)
    return OpenApiExample(name, orjson.loads(response.content))


NAME, MAC = 0, 1  # variants of messages


def _invalid_fields(item: int | None = None) -> list[FieldError]:
    return [
        _error(ErrorCode.BLANK, "device_name", item),
        _error(ErrorCode.MAC, "device_mac", item),
        _error(ErrorCode.INVALID_CHOICE, "device_type", item, types=", ".join(DEVICE_TYPES)),
    ]


INVALID_DEVICE = _example("Invalid fields", *_invalid_fields())
INVALID_DEVICES = _example(
    "Invalid devices", *_invalid_fields(0), _error(ErrorCode.DUPLICATE, "device_mac", 2, MAC, index=1)
)


def _unknown_hospital(item: int | None = None) -> OpenApiExample:
    problem = _error(ErrorCode.UNKNOWN_HOSPITAL, "device_holder", item, 1, names="“RS Sentosa”")
    return _example("Unknown hospital", replace(problem, suggestions=("RS Sentosa",)))


INVALID_SIZE = _example("Invalid parameter", _error(ErrorCode.OUT_OF_RANGE, "size", low=1, high=MAX_SIZE))
INVALID_DRY_RUN = _example(
    "Invalid parameter", _error(ErrorCode.INVALID_CHOICE, "dry_run", variant=1, choices="false, true")
)
UNKNOWN_PARAMETER = _example("Unknown parameter", _error(ErrorCode.UNKNOWN_PARAMETER, "sise", known="page, size"))
STILL_RUNNING = _example("First request still running", _error(ErrorCode.STILL_RUNNING))
MAC_TAKEN = _error(ErrorCode.UNIQUE, "device_mac", variant=MAC)
READ_ONLY = _example("Read-only key", _error(ErrorCode.READ_ONLY))
WRONG_ADDRESS = _example("Address not allowed", _error(ErrorCode.ADDRESS_NOT_ALLOWED))
RATE_LIMITED = _example("Rate limit", _error(ErrorCode.TOO_MANY_REQUESTS, rate="600/min", wait=12))
OUTDATED = _error(ErrorCode.OUTDATED, "if-match")
MAX_BODY = f"{settings.API_MAX_BODY / 2**20:g} MiB"
INVALID_REQUEST = "The request is invalid. `errors` lists all errors."
ERRORS = {
    400: ErrorDescription(INVALID_REQUEST, [UNKNOWN_PARAMETER]),
    401: ErrorDescription(
        "The API key is missing, unknown, revoked or expired. An operator of the registry creates keys: see "
        "[Get a key](/api/guide/authentication#get-a-key).",
        [_example("No valid key", _error(ErrorCode.NOT_AUTHENTICATED, "x-api-key"))],
    ),
    403: ErrorDescription(
        "The API key is read-only, or limited to other hospitals or to other networks.",
        [READ_ONLY, _example("Another hospital", _error(ErrorCode.FORBIDDEN, "device_holder")), WRONG_ADDRESS],
    ),
    404: ErrorDescription(
        "The device does not exist, or it is outside the scope of the API key.",
        [_example("No such device", _error(ErrorCode.NOT_FOUND))],
    ),
    405: ErrorDescription(
        "This path does not support the method. `Allow` lists its methods.",
        [_example("Wrong method", _error(ErrorCode.METHOD_NOT_ALLOWED, method="OPTIONS", methods="GET, HEAD, POST"))],
    ),
    409: ErrorDescription(
        "Another device has this name or MAC address, or the first request with this `Idempotency-Key` is still "
        "running.",
        [_example("Name already registered", _error(ErrorCode.UNIQUE, "device_name", variant=NAME)), STILL_RUNNING],
    ),
    410: ErrorDescription("The device was retired.", [_example("Retired device", _error(ErrorCode.RETIRED))]),
    412: ErrorDescription(
        "The device has changed since the version in `If-Match`. `data` is the device as it is now.",
        [OpenApiExample("Changed device", orjson.loads(error_with_data(412, OUTDATED, examples.MOVED).content))],
    ),
    413: ErrorDescription(
        f"The body is too large: more than {MAX_BODY} or {settings.API_MAX_DEVICES:,} devices.",
        [_example("Too many bytes", _error(ErrorCode.TOO_LARGE, limit=MAX_BODY))],
    ),
    415: ErrorDescription(
        "The content type is not `application/json`, or the body is compressed.",
        [_example("Another content type", _error(ErrorCode.UNSUPPORTED_MEDIA_TYPE))],
    ),
    422: ErrorDescription(
        "This `Idempotency-Key` was used for a different request.",
        [_example("Reused key", _error(ErrorCode.KEY_REUSED))],
    ),
    429: ErrorDescription("A limit is exceeded. Retry after `Retry-After` seconds.", [RATE_LIMITED]),
    500: ErrorDescription(
        "Internal error. The log of the registry has it under the `X-Request-ID` of this response.",
        [_example("Internal error", _error(ErrorCode.INTERNAL_ERROR))],
    ),
    503: ErrorDescription(
        "The database is temporarily unavailable. Retry after `Retry-After` seconds, a write with the same "
        "`Idempotency-Key`.",
        [_example("Database unavailable", _error(ErrorCode.UNAVAILABLE))],
    ),
}

# --- Differences for some operations

READ_DENIED = {403: ErrorDescription("The API key is limited to other networks.", [WRONG_ADDRESS])}

WRITE_LIMITED = ErrorDescription(
    "A limit is exceeded. Retry after `Retry-After` seconds. With the code `conflict_limit`, too many conflicts with "
    "devices outside the key's scope were reported, so the device was not compared with them.",
    [RATE_LIMITED, _example("Limit of conflicts", _error(ErrorCode.CONFLICT_LIMIT, "device_name", minutes=480))],
)
REGISTER = {
    400: ErrorDescription(INVALID_REQUEST, [INVALID_DEVICES, _unknown_hospital(0)]),
    403: ErrorDescription(
        ERRORS[403].description,
        [READ_ONLY, _example("Another hospital", _error(ErrorCode.FORBIDDEN, "device_holder", 0)), WRONG_ADDRESS],
    ),
    409: ErrorDescription(
        ERRORS[409].description,
        [_example("MAC address already registered", _error(ErrorCode.UNIQUE, "device_mac", 0, MAC)), STILL_RUNNING],
    ),
    429: WRITE_LIMITED,
}
INVALID_ON_CONFLICT = _example(
    "Invalid parameter", _error(ErrorCode.INVALID_CHOICE, "on_conflict", variant=1, choices="refuse, update")
)
BATCH = {  # errors of a device are in `data` instead
    400: ErrorDescription("The request is invalid: its parameters, or its body as a whole.", [INVALID_ON_CONFLICT]),
    403: ErrorDescription("The API key is read-only, or limited to other networks.", [READ_ONLY, WRONG_ADDRESS]),
    409: ErrorDescription("The first request with this `Idempotency-Key` is still running.", [STILL_RUNNING]),
}
UPDATE = {400: ErrorDescription(INVALID_REQUEST, [INVALID_DEVICE, _unknown_hospital()]), 429: WRITE_LIMITED}
LIST = {400: ErrorDescription(INVALID_REQUEST, [INVALID_SIZE])}
RETIRE = {
    400: ErrorDescription(INVALID_REQUEST, [INVALID_DRY_RUN]),
    403: ErrorDescription("The API key is read-only, or limited to other networks.", [READ_ONLY, WRONG_ADDRESS]),
    409: ErrorDescription("The first request with this `Idempotency-Key` is still running.", [STILL_RUNNING]),
}
CHANGE_FEED = {
    **LIST,
    410: ErrorDescription(
        "The cursor is too old, or belongs to another scope. Delete your copy and start again without `since`.",
        [_example("Cursor too old", _error(ErrorCode.CURSOR_TOO_OLD))],
    ),
}

HOSPITAL = {
    404: ErrorDescription(
        "The hospital does not exist, or it is outside the scope of the API key.",
        [_example("No such hospital", _error(ErrorCode.NOT_FOUND, variant=1))],
    ),
    410: ErrorDescription(
        "The hospital was merged into another one in the scope of the API key: see `successor`.",
        [
            _example(
                "Merged hospital",
                _error(ErrorCode.MERGED, name="RS Sentosa", id=3),
                successor={"hospital_id": 3, "hospital_name": "RS Sentosa"},
            )
        ],
    ),
}

# One item was registered, and another has an error. It is here because the module `examples` has no errors.
PARTIAL_SUCCESS = examples.success(
    "Partial success",
    [
        {"index": 0, "status": "created", "device": examples.registered(7, examples.CUFF)},
        {
            "index": 1,
            "status": "conflict",
            "errors": serialize_errors([MAC_TAKEN], {}),
        },
    ],
    "Each device was processed individually. See its status.",
    207,
)


def invalid_mac(count: int) -> FieldError:
    """Return the error of a MAC address with this number of digits."""
    return _error(ErrorCode.MAC, "device_mac", variant=3, count=count)


LOOKUP = {
    400: ErrorDescription(INVALID_REQUEST, [_example("No addresses", _error(ErrorCode.REQUIRED, "device_mac"))]),
    413: ErrorDescription(
        "The body is too large: more than 1 MiB or 1,000 addresses.",
        [_example("Too many bytes", _error(ErrorCode.TOO_LARGE, limit="1 MiB"))],
    ),
}
DEVICE_CHANGES = LIST | {410: CHANGE_FEED[410]}
