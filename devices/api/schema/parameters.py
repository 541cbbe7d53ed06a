"""The parameters and headers of requests, and the headers of responses, for /api/schema.

Each has its example in `examples` of its schema. Swagger UI would send an `example` of an optional parameter unasked.
No parameter has a `default`: some generated clients always send it, and then `page` excludes `after`, and `size`
overrides the page size of the key.
"""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter

from devices.api.filters import HOSPITAL_ORDERINGS, MAX_MILLISECONDS, ORDERINGS
from devices.api.pagination import MAX_PAGE, MAX_SIZE
from devices.api.schema import examples, patterns
from devices.api.serializers import DeviceTypeField
from devices.models import DEFAULT_PAGE_SIZE, IDEMPOTENCY_KEY_LENGTH, MAX_ID

MAX_WAIT = 30  # seconds


def _string(example: str, **schema: Any) -> dict[str, Any]:
    return {"type": "string", "examples": [example], **schema}


def _integer(example: int, minimum: int, maximum: int, **schema: Any) -> dict[str, Any]:
    return {"type": "integer", "minimum": minimum, "maximum": maximum, "examples": [example], **schema}


def _int64(example: int, minimum: int, maximum: int) -> dict[str, Any]:
    """Describe an id or a timestamp. Without the format, clients in Kotlin, Java, Go and C# have 32 bits for it."""
    return _integer(example, minimum, maximum, format="int64")


def _enum(example: str, *values: str) -> dict[str, Any]:
    return _string(example, enum=list(values))


def _query(name: str, description: str, schema: dict[str, Any]) -> OpenApiParameter:
    return OpenApiParameter(name, schema, description=description)


def _header(
    name: str, description: str, schema: dict[str, Any], on: Sequence[int] | bool = False, **more: Any
) -> OpenApiParameter:
    """Describe a header of the request, or with `on` of the responses with these statuses (True: of all)."""
    return OpenApiParameter(name, schema, OpenApiParameter.HEADER, description=description, response=on, **more)


DEVICE_TAG = '"7-0b20340c19d30fdc650470f1-5c0a1b2d"'
RETRY_AFTER = (
    "Retry-After",
    "Seconds to wait before the next attempt.",
    {"type": "integer", "minimum": 1, "examples": [12]},
)
ETAG = (
    "ETag",
    "Version of the returned representation, for `If-Match` and `If-None-Match`. It is a strong validator.",
    _string(DEVICE_TAG, pattern=patterns.STRONG_TAG),
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
        "The remaining requests (`r`) and the seconds until the limit resets (`t`). Sent if the API key has a limit.",
        _string('"default";r=599;t=60'),
        on=True,
    ),
    _header(
        "RateLimit-Policy",
        "The limit of this API key: requests (`q`) per window of seconds (`w`). Sent if the API key has a limit.",
        _string('"default";q=600;w=60'),
        on=True,
    ),
    _header("Allow", "The methods of this path.", _string("GET, HEAD, POST"), on=[405], required=True),
    _header(
        "Deprecation",
        'Since when the endpoint or the API key is deprecated (RFC 9745). `Link` with `rel="deprecation"` explains it.',
        _string("@1795824000", pattern="^@[0-9]+$"),
        on=True,
    ),
    _header(
        "Sunset",
        "When the deprecated endpoint or API key stops working (RFC 8594), if the date is decided.",
        _string("Sat, 01 Jan 2028 00:00:00 GMT"),
        on=True,
    ),
]
LINK = _header(
    "Link",
    "The URLs of the `first`, `prev` and `next` page (RFC 8288), as in `pagination`. Omitted if they are longer than "
    "2,000 bytes.",
    _string('<https://registry.example.org/api/devices?after=8&size=2>; rel="next"'),
    on=[200],
)
LOCATION = _header(
    "Location",
    "The URL of the device, if one was registered. An array of several devices has none.",
    _string("https://registry.example.org/api/device/7", format="uri"),
    on=[201],
)
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
        "`true`: validate the request and return its result, but write nothing. Omitted: `false`.",
        {"type": "boolean", "examples": [True]},
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
        "Writes only if this is an `ETag` of the current version of the device, otherwise returns 412. A weak `ETag` "
        "(`W/…`) never matches. It can be a list of ETags. "
        "`*` matches any version.",
        _string(DEVICE_TAG, pattern=patterns.TAGS, format=patterns.ENTITY_TAGS),
    ),
    _header(*ETAG, on=[412], required=True),
]
TAGGED = _header(*ETAG, on=[200, 201])  # not in a dry run
ON_CONFLICT = _query(
    "on_conflict",
    "`update`: update the device that already has the MAC address of an item (upsert). `refuse`: report it as a "
    "conflict. Omitted: `refuse`.",
    _enum("update", "refuse", "update"),
)
UNKNOWN_HOLDER = _query(
    "unknown_holder",
    "The effect of a `device_holder` that is not the name of a hospital in the scope of the API key. `register`: "
    "register this hospital, if the key is for all hospitals. `refuse`: return 400 with similar names. A key can have "
    "this setting; the parameter does not change it back.",
    _enum("refuse", "register", "refuse"),
)
ID = OpenApiParameter(
    "id_device",
    _int64(7, 1, MAX_ID),
    OpenApiParameter.PATH,
    description="The `id` of the device.",
)
FIRST = settings.API_FIRST_PAGE
SIZE = _query(
    "size",
    "Maximum items per page. By default the page size of the API key, which is "
    f"{DEFAULT_PAGE_SIZE} unless the operator has set another.",
    _integer(100, 1, MAX_SIZE),
)
IGNORED_PAGINATION = [
    OpenApiParameter(
        name,
        _string("1"),
        description="Accepted and ignored, for compatibility with older clients.",
        deprecated=True,
    )
    for name in ("page", "size")
]
DISPLAY_NAME = {"format": patterns.DISPLAY_NAME}


def ordering(*orderings: str) -> OpenApiParameter:
    """Describe the sort order. `x-enum-varnames` has the names of the values in generated clients.

    Ascending orders are first: some generators name the first of `id` and `-id` ID, and the other one ID2.
    """
    orderings = tuple(sorted(orderings, key=lambda text: text.startswith("-")))
    names = [text.removeprefix("-").upper() + ("_DESCENDING" if text.startswith("-") else "") for text in orderings]
    schema = _enum(orderings[-1], *orderings) | {"x-enum-varnames": names}
    description = "The sort order; `-` means descending, and `id` breaks ties. Omitted: `id`."
    return _query("ordering", description, schema)


LIST = [
    _query(
        "page",
        f"Number of the page, from {FIRST}. Send only one of `page`, `after` and `before`.",
        _integer(FIRST, FIRST, MAX_PAGE),
    ),
    SIZE,
    _query(
        "after",
        "Return devices with greater ids. To skip no device, send `pagination.after` of the page before.",
        _int64(20, 0, MAX_ID),
    ),
    _query(
        "before",
        "Return the page of devices with smaller ids that ends here. Send `pagination.before` of the page after.",
        _int64(21, 0, MAX_ID),
    ),
    _query("device_name", "The device with exactly this name.", _string("E86 5894", **DISPLAY_NAME)),
    _query(
        "device_mac",
        "The device with this MAC address, in any usual notation.",
        _string("D0:61:AE:D4:58:94", format=patterns.mac_format()),
    ),
    _query("device_type", "Devices of this type.", DeviceTypeField.REFERENCE | {"examples": ["CONSUMER"]}),
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
        _int64(1635821282937, 0, MAX_MILLISECONDS),
    ),
    _query(
        "created_since",
        "Devices that were registered at or after this time. Unix time in milliseconds.",
        _int64(1635821282937, 0, MAX_MILLISECONDS),
    ),
    ordering(*ORDERINGS),
]
HOSPITAL_ID = OpenApiParameter(
    "hospital_id",
    _int64(3, 1, MAX_ID),
    OpenApiParameter.PATH,
    description="The `hospital_id` of the hospital.",
)
HOSPITAL_LIST = [
    *(parameter for parameter in LIST if parameter.name in ("page", "size")),
    _query(
        "after",
        "Return hospitals with greater ids. `pagination.next` contains it: follow that URL to skip no hospital.",
        _int64(20, 0, MAX_ID),
    ),
    _query(
        "before",
        "Return the page of hospitals with smaller ids that ends here. `pagination.previous` contains it.",
        _int64(21, 0, MAX_ID),
    ),
    _query(
        "name",
        "The hospital that has, or had, exactly this name, in any case.",
        _string("RS Sentosa", **DISPLAY_NAME),
    ),
    _query(
        "search",
        "Words that are each a part of the name or of a former name, in any case. Empty: all hospitals.",
        _string("sentosa", format=patterns.SEARCH_TEXT),
    ),
    _query(
        "updated_since",
        "Hospitals that were changed at or after this time. Unix time in milliseconds.",
        _int64(1635821282937, 0, MAX_MILLISECONDS),
    ),
    _query(
        "created_since",
        "Hospitals that were registered at or after this time. Unix time in milliseconds.",
        _int64(1635821282937, 0, MAX_MILLISECONDS),
    ),
    ordering(*HOSPITAL_ORDERINGS),
]
CHANGES = [
    _query(
        "since",
        "Return changes after this cursor: send `pagination.cursor` of the page before. Omitted: from the beginning. "
        "`now`: only changes from now on.",
        _string(examples.CURSORS[0], pattern=patterns.CURSOR_OR_NOW),
    ),
    SIZE,
    _query(
        "wait",
        "Seconds to wait for a change if there is none (long polling). Omitted: 0. Give your client a longer read "
        "timeout.",
        _integer(30, 0, MAX_WAIT),
    ),
]
DEVICE_CHANGES = [
    _query(
        "since",
        "Return changes after this cursor. Omitted: from the beginning.",
        _string(examples.CURSORS[0], pattern=patterns.CURSOR),
    ),
    SIZE,
]
