"""The parameters and headers of requests, and the headers of responses, for /api/schema.

Each has its example in `examples` of its schema. Swagger UI would send an `example` of an optional parameter unasked.
"""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter

from devices.api.filters import MAX_MILLISECONDS, ORDERINGS
from devices.api.pagination import DEFAULT_SIZE, MAX_PAGE, MAX_SIZE
from devices.api.schema import patterns
from devices.api.serializers import ACCEPTED_TYPES
from devices.models import IDEMPOTENCY_KEY_LENGTH, MAX_ID

MAX_WAIT = 30  # seconds


def _string(example: str, **schema: Any) -> dict[str, Any]:
    return {"type": "string", "examples": [example], **schema}


def _integer(example: int, minimum: int, maximum: int, **schema: Any) -> dict[str, Any]:
    return {"type": "integer", "minimum": minimum, "maximum": maximum, "examples": [example], **schema}


def _enum(example: str, *values: str) -> dict[str, Any]:
    return _string(example, enum=list(values))


def _query(name: str, description: str, schema: dict[str, Any]) -> OpenApiParameter:
    return OpenApiParameter(name, schema, description=description)


def _header(
    name: str, description: str, schema: dict[str, Any], on: Sequence[int] | bool = False, **more: Any
) -> OpenApiParameter:
    """Describe a header of the request, or with `on` of the responses with these statuses (True: of all)."""
    return OpenApiParameter(name, schema, OpenApiParameter.HEADER, description=description, response=on, **more)


DEVICE_TAG = 'W/"7-0b20340c19d30fdc650470f1"'
CURSOR = "AxskM3BqivzGeYjOb-14etiYwUutyz7Gqu2M7YaUhH1-hCbs3L4MM4X1ZAmu"
RETRY_AFTER = (
    "Retry-After",
    "Seconds to wait before the next attempt.",
    {"type": "integer", "minimum": 1, "examples": [12]},
)
ETAG = (
    "ETag",
    "Version of the returned representation, for `If-Match` and `If-None-Match`.",
    _string(DEVICE_TAG, pattern=f"^{patterns.TAG}$"),
)
COMMON = [
    _header(
        "X-Request-ID",
        "Identifies this request in the log: the client's `X-Request-ID` if it is valid, otherwise a generated one.",
        _string("ward-app.4711", pattern=patterns.REQUEST_ID),
        on=True,
        required=True,
    ),
    _header(
        "Cache-Control",
        "`private, no-cache` for a response with an `ETag`, otherwise `no-store`.",
        _enum("no-store", "private, no-cache", "no-store"),
        on=True,
        required=True,
    ),
    _header(
        "Vary",
        "Caches must not return this response to another API key.",
        _string("x-api-key", pattern="x-api-key"),
        on=True,
        required=True,
    ),
    _header(
        "WWW-Authenticate",
        "The header that must contain the API key.",
        {"const": "x-api-key", "examples": ["x-api-key"]},
        on=[401],
        required=True,
    ),
    _header(
        "Accept-Encoding",
        "Sent if the body was compressed: only bodies without `Content-Encoding` are supported.",
        _enum("identity", "identity"),
        on=[415],
    ),
    _header(*RETRY_AFTER, on=[429, 503], required=True),
    _header(
        "RateLimit",
        "The remaining requests (`r`) and the seconds until the limit resets (`t`).",
        _string('"default";r=0;t=12'),
        on=[429],
    ),
    _header(
        "RateLimit-Policy",
        "The limit of this API key: requests (`q`) per window of seconds (`w`).",
        _string('"default";q=600;w=60'),
        on=[429],
    ),
]
READ = [
    _header(
        "If-None-Match",
        "Returns 304 without a body if this is still the current `ETag`.",
        _string(DEVICE_TAG),
    ),
    _header(*ETAG, on=[200, 304], required=True),
]
WRITE = [
    _header(
        "Idempotency-Key",
        "Makes the request safe to retry: for 24 hours, the same request with the same key returns the original "
        "response. Use a new key, such as a UUID, for each new request.",
        _string(
            "3f0c1a52-8f0b-4b58-9d5e-0f2b7c1d9a11",
            pattern=patterns.IDEMPOTENCY_KEY,
            minLength=1,
            maxLength=IDEMPOTENCY_KEY_LENGTH,
        ),
    ),
    _query(
        "dry_run",
        "`true`: validate the request and return its result, but write nothing.",
        _enum("true", "false", "true"),
    ),
    _header(
        "Idempotency-Replayed",
        "This is the stored response to an earlier request with the same `Idempotency-Key`.",
        _enum("true", "true"),
        on=[200, 201, 207],
    ),
    _header(*RETRY_AFTER, on=[409]),
]
IF_MATCH = [
    _header(
        "If-Match",
        "Writes only if this is the current `ETag` of the device, otherwise returns 412. It can be a list of ETags. "
        "`*` matches any version.",
        _string(DEVICE_TAG, pattern=patterns.TAGS, format=patterns.ENTITY_TAGS),
    ),
    _header(*ETAG, on=[412], required=True),
]
TAGGED = _header(*ETAG, on=[200, 201])  # not in a dry run
BULK = [
    _query(
        "mode",
        "`all`: register all devices or none. `partial`: register the valid devices and report the others (207).",
        _enum("partial", "all", "partial"),
    ),
    _query(
        "on_conflict",
        "`update`: update the device that already has the MAC address of an item (upsert, 207). `refuse`: report it as "
        "a conflict.",
        _enum("update", "refuse", "update"),
    ),
]
UNKNOWN_HOLDER = _query(
    "unknown_holder",
    "The effect of a `device_holder` that is not the name of a hospital in the scope of the API key. `register`: "
    "register this hospital, if the key is for all hospitals. `refuse`: return 400 with similar names. A key can have "
    "this setting; the parameter does not change it back.",
    _enum("refuse", "register", "refuse"),
)
ID = OpenApiParameter(
    "id_device",
    _integer(7, 1, MAX_ID, format="int64"),
    OpenApiParameter.PATH,
    description="The `id` of the device.",
)
FIRST = settings.API_FIRST_PAGE
SIZE = _query("size", "Maximum items per page.", _integer(100, 1, MAX_SIZE, default=DEFAULT_SIZE))
IGNORED_PAGINATION = [
    OpenApiParameter(name, _string("1"), description="Accepted and ignored, for compatibility with older clients.")
    for name in ("page", "size")
]
DISPLAY_NAME = {"format": patterns.DISPLAY_NAME}
LIST = [
    _query(
        "page",
        "Number of the page. Send only one of `page`, `after` and `before`.",
        _integer(FIRST, FIRST, MAX_PAGE, default=FIRST),
    ),
    SIZE,
    _query(
        "after",
        "Return devices with greater ids. `pagination.next` contains it: follow that URL to skip no device.",
        _integer(20, 0, MAX_ID),
    ),
    _query(
        "before",
        "Return the page of devices with smaller ids that ends here. `pagination.previous` contains it.",
        _integer(21, 0, MAX_ID),
    ),
    _query("device_name", "The device with exactly this name.", _string("E86 5894", **DISPLAY_NAME)),
    _query(
        "device_mac",
        "The device with this MAC address, in any usual notation.",
        _string("D0:61:AE:D4:58:94", format=patterns.mac_format()),
    ),
    _query("device_type", "Devices of this type, in capitals or lower case.", _enum("CONSUMER", *ACCEPTED_TYPES)),
    _query(
        "device_holder",
        "Devices of the hospital with this name, in any case. `unknown`: devices without a hospital.",
        _string("RS Sentosa", **DISPLAY_NAME),
    ),
    _query(
        "search",
        "Part of a device name, MAC address or hospital name, in any case. Empty: all devices.",
        _string("harapan", format=patterns.SEARCH_TEXT),
    ),
    _query(
        "updated_since",
        "Devices that were changed at or after this time. Unix time in milliseconds.",
        _integer(1635821282937, 0, MAX_MILLISECONDS),
    ),
    _query(
        "created_since",
        "Devices that were registered at or after this time. Unix time in milliseconds.",
        _integer(1635821282937, 0, MAX_MILLISECONDS),
    ),
    _query("ordering", "The sort order; `-` means descending, and `id` breaks ties.", _enum("-updated_at", *ORDERINGS)),
]
CHANGES = [
    _query(
        "since",
        "Return changes after this cursor. Omitted: from the beginning. `now`: only changes from now on.",
        _string(CURSOR, pattern=patterns.CURSOR_OR_NOW),
    ),
    SIZE,
    _query(
        "wait",
        "Seconds to wait for a change if there is none (long polling).",
        _integer(30, 0, MAX_WAIT, default=0),
    ),
]
