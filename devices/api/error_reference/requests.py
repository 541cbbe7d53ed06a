"""Errors of a request as a whole: its key, limits, HTTP and the body."""

from devices.api.error_reference.info import LATER, ErrorInfo
from devices.values.error_codes import ErrorCode

AUTHENTICATION = {
    ErrorCode.NOT_AUTHENTICATED: ErrorInfo(
        401,
        "`x-api-key`",
        ("The API key is missing, unknown, revoked or expired. Send a valid key in the x-api-key header.",),
        "The request has no API key, or its key is unknown, revoked or expired. The response does not say which.",
        "Send the key in the header `x-api-key`. If you do, compare it with the key that the operator issued. If you "
        "have none, see [Get a key](api/authentication.md#get-a-key).",
    ),
    ErrorCode.READ_ONLY: ErrorInfo(
        403,
        "null",
        ("This API key is read-only. Use a read-write key for POST, PUT, PATCH and DELETE.",),
        "The key is valid, but it cannot write.",
        "Ask the operator for a read-write key.",
    ),
    ErrorCode.FORBIDDEN: ErrorInfo(
        403,
        "`device_holder`",
        (
            "This API key is limited to its own hospital. Omit this field, or send the name of that hospital.",
            "This API key is limited to its hospitals. Send the name of one of them.",
        ),
        "The key is limited to certain hospitals, and the request would move or register a device outside them.",
        "Send the name of a hospital of the key. With a key for one hospital you can also omit `device_holder`.",
    ),
    ErrorCode.ACCESS_DENIED: ErrorInfo(
        403,
        "null",
        ("Access denied.",),
        "The server denied the request before it reached an endpoint. The registry itself does not do this.",
        "Ask the operator. Send the `X-Request-ID` of the response.",
    ),
    ErrorCode.HTTPS_REQUIRED: ErrorInfo(
        403,
        "null",
        ("Plain HTTP is not accepted. Send the request over HTTPS.",),
        "The request came over plain HTTP. Its key was sent unencrypted.",
        "Use `https://` in the base URL, and ask the operator to rotate the key.",
    ),
    ErrorCode.ADDRESS_NOT_ALLOWED: ErrorInfo(
        403,
        "null",
        ("This API key cannot be used from your IP address. Ask the operator to allow your network.",),
        "The key is limited to some networks, and the IP address of the client is in none of them. "
        "The response does not say which networks these are, or which address the registry sees.",
        "Send the request from an allowed network. Otherwise send the operator the `X-Request-ID` of the response: the "
        "audit log has the address.",
    ),
}
LIMITS = {
    ErrorCode.TOO_MANY_REQUESTS: ErrorInfo(
        429,
        "null",
        ("Rate limit exceeded: {rate} for this API key. Retry in {wait} seconds.",),
        "The key has used up its rate limit.",
        "Send requests at a lower rate, or send several devices in one request. See [rate limits](api/rate-limits.md).",
        LATER,
    ),
    ErrorCode.TOO_MANY_FAILED_KEYS: ErrorInfo(
        429,
        "null",
        (
            "Too many requests with an invalid API key from your IP address. Check the key, and retry in {wait} "
            "seconds.",
        ),
        "Your network has sent too many requests with an unknown, revoked or expired key.",
        "Correct the key, as for `not_authenticated`. Waiting alone does not help if the key is invalid.",
        LATER,
    ),
    ErrorCode.TOO_MANY_CONCURRENT_REQUESTS: ErrorInfo(
        429,
        "null",
        ("Too many requests from your IP address. Retry after Retry-After seconds.",),
        "The proxy in front of the registry limits the concurrent requests of one IP address.",
        "Send fewer requests at the same time.",
        LATER,
    ),
    ErrorCode.TOO_MANY_STORED_RESPONSES: ErrorInfo(
        429,
        "null",
        ("This API key has stored too many responses today. Omit the Idempotency-Key, or retry in {wait} seconds.",),
        "Responses to requests with an `Idempotency-Key` are stored for 24 hours. The key has used up its daily space.",
        "Wait until the day (UTC) ends. Omit the `Idempotency-Key` only if it is safe to execute the request twice.",
        LATER,
    ),
    ErrorCode.CONFLICT_LIMIT: ErrorInfo(
        429,
        "`device_name` or `device_mac`",
        (
            "The limit of conflicts with devices outside your scope is used up, so this device was not compared with "
            "them. Retry in {minutes} minutes.",
        ),
        "Requests with this key had too many conflicts with devices of other hospitals. "
        "See [limit of conflicts](api/authentication.md#limit-of-conflicts).",
        "Find out why the devices conflict: usually they are already registered. Then retry.",
        LATER,
    ),
}
HTTP = {
    ErrorCode.MALFORMED_REQUEST: ErrorInfo(
        400,
        "null",
        ("The HTTP request is malformed.",),
        "The server cannot parse the HTTP request.",
        "Use an HTTP library. Check that headers have no line breaks or invalid characters.",
    ),
    ErrorCode.INVALID_HOST: ErrorInfo(
        400,
        "null",
        ("Invalid Host header. Check the base URL. The operator must list the host in ALLOWED_HOSTS.",),
        "The host of the URL, or the `Host` header that a proxy sends, is not in `ALLOWED_HOSTS`.",
        "Correct the base URL. The operator adds the host to `ALLOWED_HOSTS`, or corrects the proxy.",
    ),
    ErrorCode.URI_TOO_LONG: ErrorInfo(
        414,
        "null",
        (
            "The URL is too long. The request line can have at most {limit} bytes.",
            "The URL is too long. Use fewer or shorter parameters.",
        ),
        "The method, the URL and the HTTP version have more than 4,094 bytes.",
        "Use fewer or shorter query parameters.",
    ),
    ErrorCode.TOO_MANY_PARAMETERS: ErrorInfo(
        400,
        "null",
        ("The URL has too many query parameters.",),
        "The URL has more than 1,000 query parameters.",
        "Send each parameter once.",
    ),
    ErrorCode.HEADERS_TOO_LARGE: ErrorInfo(
        431,
        "null",
        (
            "The headers are too large. A request can have at most {number} headers of {size} bytes each.",
            "The headers are too large.",
        ),
        "The request has more than 100 headers, or a header has more than 8,190 bytes.",
        "Send fewer or shorter headers. Often an application sends large cookies.",
    ),
    ErrorCode.REQUEST_TIMEOUT: ErrorInfo(
        408,
        "null",
        ("The request was not received in time. Retry it.",),
        "The proxy in front of the registry waited too long for the rest of the request. Nothing was changed.",
        "Retry the request. If the connection is slow, send fewer devices in a request.",
        "yes",
    ),
    ErrorCode.ENDPOINT_NOT_FOUND: ErrorInfo(
        404,
        "null",
        ("There is no such endpoint. See /api/docs.",),
        "The path of the URL is not an endpoint.",
        "Compare the path with the [endpoints](api/README.md#endpoints). An id in a path has digits only.",
    ),
    ErrorCode.METHOD_NOT_ALLOWED: ErrorInfo(
        405,
        "null",
        (
            "This endpoint does not support {method}. Supported methods: {methods}.",
            "This method is not supported.",
        ),
        "The endpoint exists, but not with this method.",
        "Use a method of the header `Allow`.",
    ),
}
BODY = {
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: ErrorInfo(
        415,
        "null",
        (
            "Unsupported content type. Send the body as application/json.",
            "Compressed bodies are not supported. Send the body without Content-Encoding.",
            "The charset of the Content-Type is unknown. Send the body in UTF-8.",
        ),
        "The `Content-Type` of the request is not `application/json`, its charset does not exist, or the body is "
        "compressed (`Content-Encoding`).",
        "Send JSON with `Content-Type: application/json`. In curl, use `--json` or `-H`. Do not compress the body.",
    ),
    ErrorCode.BODY_REQUIRED: ErrorInfo(
        400,
        "null",
        ("The request has no body. Send JSON.",),
        "The endpoint needs a body, and the request has none.",
        "Send a JSON object, or an array of objects to register several devices.",
    ),
    ErrorCode.INCOMPLETE_BODY: ErrorInfo(
        400,
        "null",
        ("The body is shorter than its Content-Length. Retry the request.",),
        "The body ended before the number of bytes in `Content-Length`. Nothing was changed.",
        "Retry. If it happens again, check how the client computes `Content-Length`: in bytes, not in characters.",
        "yes",
    ),
    ErrorCode.INVALID_JSON: ErrorInfo(
        400,
        "null",
        ("The body is not valid JSON in UTF-8: {error}.",),
        "The body cannot be parsed as JSON.",
        "Create the body with a JSON library. The message has the line and the column of the error.",
    ),
    ErrorCode.NESTED_TOO_DEEPLY: ErrorInfo(
        400,
        "null",
        ("The JSON is nested too deeply for a request with an Idempotency-Key.",),
        "The body has more than 254 levels of arrays and objects.",
        "Send the fields of the devices only.",
    ),
    ErrorCode.TOO_LARGE: ErrorInfo(
        413,
        "null",
        (
            "The body is larger than {limit}. Split it into several requests.",
            "The body has too many JSON values. Split it into several requests.",
            "The body is too large. Split it into several requests.",
        ),
        "The body exceeds a [limit](api/rate-limits.md#other-limits) of its bytes or of its JSON values.",
        "Send the devices in several requests.",
    ),
    ErrorCode.TOO_MANY_ITEMS: ErrorInfo(
        413,
        "null",
        ("The array has {number} devices. The maximum is {limit}. Split it into several requests.",),
        "The array has more than 10,000 devices, or the `device_mac` of a lookup more than 1,000 addresses.",
        "Send the items in several requests.",
    ),
    ErrorCode.EMPTY: ErrorInfo(
        400,
        "null; `device_mac` of a lookup",
        ("The array is empty. Send at least one device.", "The array is empty. Send at least one MAC address."),
        "The body, or the `device_mac` of a lookup, is an array without items.",
        "Send at least one item. Omit the request if there is none.",
    ),
    ErrorCode.NO_KNOWN_FIELD: ErrorInfo(
        400,
        "null",
        ("The body has no field of a device. Send at least one.",),
        "The object has none of the fields that can be written. Unknown fields are ignored.",
        "Send at least one of `device_name`, `device_mac`, `device_type` and `device_holder`, also as "
        "`deviceName` and so on.",
    ),
}
