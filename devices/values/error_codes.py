"""The codes of errors. `ErrorCode` is the closed list of `errors[].code` in responses of the API.

devices/api/error_reference/ describes each code. /api/schema has the list, and docs/errors.md a table.
One code has one meaning. docs/compatibility.md says when codes can be added or renamed.
"""

from enum import StrEnum


class ErrorCode(StrEnum):
    # Authentication and permissions
    NOT_AUTHENTICATED = "not_authenticated"
    READ_ONLY = "read_only"
    FORBIDDEN = "forbidden"
    ACCESS_DENIED = "access_denied"
    HTTPS_REQUIRED = "https_required"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    # Limits
    TOO_MANY_REQUESTS = "too_many_requests"
    TOO_MANY_FAILED_KEYS = "too_many_failed_keys"
    TOO_MANY_CONCURRENT_REQUESTS = "too_many_concurrent_requests"
    TOO_MANY_STORED_RESPONSES = "too_many_stored_responses"
    CONFLICT_LIMIT = "conflict_limit"
    # HTTP request
    MALFORMED_REQUEST = "malformed_request"
    INVALID_HOST = "invalid_host"
    URI_TOO_LONG = "uri_too_long"
    TOO_MANY_PARAMETERS = "too_many_parameters"
    HEADERS_TOO_LARGE = "headers_too_large"
    REQUEST_TIMEOUT = "request_timeout"
    ENDPOINT_NOT_FOUND = "endpoint_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    # Body
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    BODY_REQUIRED = "body_required"
    INCOMPLETE_BODY = "incomplete_body"
    INVALID_JSON = "invalid_json"
    NESTED_TOO_DEEPLY = "nested_too_deeply"
    TOO_LARGE = "too_large"
    TOO_MANY_ITEMS = "too_many_items"
    EMPTY = "empty"
    NO_KNOWN_FIELD = "no_known_field"
    # Fields and parameters
    REQUIRED = "required"
    NULL = "null"
    BLANK = "blank"
    INVALID_TYPE = "invalid_type"
    INVALID_ID = "invalid_id"
    MAX_LENGTH = "max_length"
    CHARACTERS = "characters"
    MAC = "mac"
    INVALID_CHOICE = "invalid_choice"
    HOLDER_REQUIRED = "holder_required"
    UNKNOWN_HOSPITAL = "unknown_hospital"
    OUT_OF_RANGE = "out_of_range"
    INVALID_TIMESTAMP = "invalid_timestamp"
    CURSOR = "cursor"
    UNKNOWN_PARAMETER = "unknown_parameter"
    REPEATED = "repeated"
    MUTUALLY_EXCLUSIVE = "mutually_exclusive"
    # Devices
    UNIQUE = "unique"
    DUPLICATE = "duplicate"
    NOT_FOUND = "not_found"
    RETIRED = "retired"
    CURSOR_TOO_OLD = "cursor_too_old"
    MERGED = "merged"
    # Headers of concurrency control and safe retries
    ETAG = "etag"
    IF_MATCH_NOT_SUPPORTED = "if_match_not_supported"
    OUTDATED = "outdated"
    INVALID_IDEMPOTENCY_KEY = "invalid_idempotency_key"
    STILL_RUNNING = "still_running"
    KEY_REUSED = "key_reused"
    # Server
    INTERNAL_ERROR = "internal_error"
    UNAVAILABLE = "unavailable"


class AdminErrorCode(StrEnum):
    """Codes of errors in the admin, imports and commands. The API never returns them."""

    GONE = "gone"  # the object does not exist any more, or is outside the scope
    INVALID_KEY = "invalid_key"  # the API key is revoked or expired
    CONVERTED = "converted"  # Excel has changed the value of the cell
    UNKNOWN_ID = "unknown_id"  # no device in scope has this id
    SANDBOX = "sandbox"  # the hospital is the sandbox


ERROR_CODES = tuple(code.value for code in ErrorCode)
