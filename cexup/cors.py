"""The headers that scripts of other origins can send and read (CORS). docs/api/README.md lists those to read."""

from corsheaders.defaults import default_headers

ALLOW_HEADERS = [
    *default_headers,
    "accept-language",
    "access-control-allow-origin",  # a response header, but existing clients send it
    "idempotency-key",
    "if-match",
    "if-none-match",
    "traceparent",
    "x-api-key",
    "x-request-id",
]
EXPOSE_HEADERS = [
    "deprecation",
    "etag",
    "idempotency-replayed",
    "link",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "sunset",
    "x-request-id",
]
