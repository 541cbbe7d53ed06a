"""Errors of values, devices, conditional requests and the server."""

from devices.api.error_reference.info import LATER, ErrorInfo
from devices.values.error_codes import ErrorCode

VALUES = {
    ErrorCode.REQUIRED: ErrorInfo(
        400,
        "`device_name`, `device_mac`, `device_type` or `id`",
        ("This field is required.", "Identify the device by its id or its device_mac."),
        "A required field is missing.",
        "Send the field. To change single fields, use PATCH.",
    ),
    ErrorCode.NULL: ErrorInfo(
        400,
        "a field of the device",
        ("This field must not be null.",),
        "The field is `null`.",
        "Send a value, or omit the field if it is not required.",
    ),
    ErrorCode.BLANK: ErrorInfo(
        400,
        "a field of the device or a query parameter",
        ("This field must not be empty.", "This parameter is empty. Give it a value, or omit it."),
        "The value is empty, or empty after [normalization](api/reference.md#names).",
        "Send a value, or omit the field or parameter if it is not required.",
    ),
    ErrorCode.INVALID_TYPE: ErrorInfo(
        400,
        "a field of the device; null for an item of the array or the whole body",
        (
            "This must be a string.",
            'Expected a JSON object such as {"device_name": "…", "device_mac": "…", "device_type": "…"}.',
            'Expected a JSON object such as {"device_mac": ["D0:61:AE:D4:58:94"]}.',
            "This must be an array.",
        ),
        "The value has the wrong JSON type: a field must be a string, a device must be an object, and the `device_mac` "
        "of a lookup must be an array. An integer is "
        "read as its digits; a fraction, an exponent, more than 64 bits, and true or false are invalid.",
        "Send the type that the message names.",
    ),
    ErrorCode.INVALID_ID: ErrorInfo(
        400,
        "`id`",
        ("This must be a positive integer.",),
        "The `id` in the body is not a positive integer of 64 bits.",
        "Send the `id` that the registry returned. Store ids as 64-bit integers.",
    ),
    ErrorCode.MAX_LENGTH: ErrorInfo(
        400,
        "a field of the device or a query parameter",
        ("This has {length} characters. The maximum is {limit}.",),
        "The text has more than 255 characters after normalization.",
        "Shorten it.",
    ),
    ErrorCode.CHARACTERS: ErrorInfo(
        400,
        "a field of the device or a query parameter",
        ("This contains control characters, text-direction overrides, private-use characters or invalid Unicode.",),
        "The text contains characters that are not visible or have no agreed meaning.",
        "Remove these characters. They often come from a spreadsheet, a PDF or a barcode scanner.",
    ),
    ErrorCode.MAC: ErrorInfo(
        400,
        "`device_mac`",
        (
            "This is not a valid MAC address. Use 12 or 16 hexadecimal digits, for example D0:61:AE:D4:58:94.",
            "{character} at position {position} is not a hexadecimal digit. Did you mean {digit}?",
            "{character} at position {position} cannot be part of a MAC address. Use 12 or 16 hexadecimal digits, for "
            "example D0:61:AE:D4:58:94.",
            "This MAC address has the wrong number of hexadecimal digits: {count} instead of 12 or 16. Compare it with "
            "the label of the device.",
            "This MAC address has different separators, or groups of different sizes. Use pairs of digits, for example "
            "D0:61:AE:D4:58:94.",
            "A MAC address of zeros only is a placeholder. Use the address on the label of the device.",
            "{address} is a broadcast or multicast address. It belongs to no single device. Use the address on the "
            "label of the device.",
            "This is not a valid MAC address, nor a manufacturer ID of 4 to 64 printable ASCII characters without "
            "spaces.",
            "Send this MAC address as a string: programs can change the digits of such a number.",
            "If this is a manufacturer ID, the operator can allow it: DEVICES_ALLOW_NON_MAC.",
        ),
        "The value is not the MAC address of a device with 48 or 64 bits, nor a manufacturer ID if the operator allows "
        "them. If it can be such an ID, the last message follows another one.",
        "Send 12 or 16 hexadecimal digits, in any [usual notation](api/reference.md#mac-addresses). If your devices "
        "have manufacturer IDs such as `001-20210101-0001`, ask the operator to set `DEVICES_ALLOW_NON_MAC=1`.",
    ),
    ErrorCode.INVALID_CHOICE: ErrorInfo(
        400,
        "`device_type`, `ordering`, `mode`, `on_conflict`, `unknown_holder` or `dry_run`",
        ("This is not a valid device type. Use one of: {types}.", "This must be one of: {choices}."),
        "The value is not one of the allowed values.",
        "Send one of the values that the message lists.",
    ),
    ErrorCode.HOLDER_REQUIRED: ErrorInfo(
        400,
        "`device_holder`",
        ("This API key has several hospitals. Send the name of one of them: {names}.",),
        "The key is limited to several hospitals, and a new device has no `device_holder`, or `unknown`. The message "
        "names up to three hospitals of the key.",
        "Send the name of the hospital.",
    ),
    ErrorCode.UNKNOWN_HOSPITAL: ErrorInfo(
        400,
        "`device_holder`",
        (
            "No hospital in the scope of this API key has this name.",
            "No hospital in the scope of this API key has this name. Did you mean {names}?",
        ),
        "With [`unknown_holder=refuse`](api/reference.md#unknown-hospitals), or for a key with this setting, the name "
        "must be that of a hospital in the scope of the key. `suggestions` has up to three similar names.",
        "Correct the name. To register a new hospital, omit the parameter, or ask the operator.",
    ),
    ErrorCode.OUT_OF_RANGE: ErrorInfo(
        400,
        "`page`, `size`, `after`, `before` or `wait`",
        ("This must be an integer from {low} to {high}.",),
        "The value is not an integer, or it is outside the range.",
        "Send an integer in the range that the message names.",
    ),
    ErrorCode.INVALID_TIMESTAMP: ErrorInfo(
        400,
        "`updated_since` or `created_since`",
        ("Send milliseconds since 1970 UTC as an integer from 0 to {limit}, not an ISO 8601 date.",),
        "The value is not a Unix timestamp in milliseconds.",
        "Send an integer such as 1635821282937. A timestamp in seconds is accepted, but it is a day in January 1970.",
    ),
    ErrorCode.CURSOR: ErrorInfo(
        400,
        "`since`",
        ("Invalid cursor. Omit since to start from the beginning.",),
        "The text is not a cursor. It is incomplete, for example.",
        "Delete your copy and start again without `since`.",
    ),
    ErrorCode.UNKNOWN_PARAMETER: ErrorInfo(
        400,
        "the parameter",
        ("Unknown parameter. Supported parameters: {known}.", "This endpoint has no query parameters."),
        "The endpoint does not have this query parameter. A misspelled filter would return all devices.",
        "Correct the name. The message lists the supported parameters.",
    ),
    ErrorCode.REPEATED: ErrorInfo(
        400,
        "the parameter",
        ("Send this parameter only once.",),
        "The URL has the query parameter more than once.",
        "Send one value.",
    ),
    ErrorCode.MUTUALLY_EXCLUSIVE: ErrorInfo(
        400,
        "`page`, `after` or `before`",
        (
            "Send only one of page, after and before.",
            "after and before work only with ordering=id. Use page with this ordering.",
        ),
        "The query parameters cannot be combined.",
        "Follow `pagination.next` instead of building URLs. See [pagination](api/pagination.md).",
    ),
}
DEVICES = {
    ErrorCode.UNIQUE: ErrorInfo(
        409,
        "`device_name` or `device_mac`",
        (
            "A device with this name is already registered.",
            "A device with this MAC address is already registered.",
        ),
        "Another registered device has this name or MAC address. Both are unique across all hospitals. The response "
        "does not say which hospital has the device. With other errors in the same request the status can be 400, 403 "
        "or 429.",
        "Search for the device by its MAC address: if your key finds it, update it with PUT, PATCH or "
        "[`on_conflict=update`](api/bulk.md#upsert-on_conflictupdate). Otherwise it belongs to another hospital: "
        "contact the operator.",
    ),
    ErrorCode.DUPLICATE: ErrorInfo(
        400,
        "`device_name` or `device_mac`",
        (
            "Duplicate name: the device at index {index} of the array has the same one.",
            "Duplicate MAC address: the device at index {index} of the array has the same one.",
        ),
        "Two devices of the array have the same name, or the same MAC address in any notation.",
        "Remove one of the two.",
    ),
    ErrorCode.NOT_FOUND: ErrorInfo(
        404,
        "null",
        (
            "Device not found. It does not exist, or it is outside the scope of this API key.",
            "Hospital not found. It does not exist, or it is outside the scope of this API key.",
        ),
        "No device has this id or MAC address, or no hospital has this id; or it is outside the scope of the key.",
        "Check the id and the environment. A key for one hospital finds this hospital and its devices only.",
    ),
    ErrorCode.RETIRED: ErrorInfo(
        410,
        "null",
        ("This device was retired. An operator or hospital admin can restore it.",),
        "The device was registered, and then retired. Its id is not used again.",
        "Remove the device from your application, or ask an operator or hospital admin to restore it.",
    ),
    ErrorCode.CURSOR_TOO_OLD: ErrorInfo(
        410,
        "null",
        (
            "The cursor is too old, or belongs to a key with another scope. Delete your copy and start again without "
            "since.",
        ),
        "The change feed cannot continue after this cursor: the operator removed old changes or restored a backup, or "
        "the cursor is damaged, or it belongs to another registry or to a key with another scope.",
        "Delete your copy, and start again without `since`. Store the cursor together with the base URL and the key.",
    ),
    ErrorCode.MERGED: ErrorInfo(
        410,
        "null",
        ("This hospital was merged into {name} (hospital_id {id}). Use that hospital instead.",),
        "An operator merged this hospital into another one, for example because it was registered twice. The other "
        "hospital has its devices now.",
        "Replace the id in your application by the `hospital_id` in `successor` of the response.",
    ),
}
HEADERS = {
    ErrorCode.ETAG: ErrorInfo(
        400,
        "`if-match`",
        ('If-Match must be the ETag of a device, such as "7-0b20340c19d30fdc650470f1-5c0a1b2d", or *.',),
        "The header `If-Match` is malformed.",
        "Send the `ETag` of the response without changes, including its quotes. See [Concurrency](api/concurrency.md).",
    ),
    ErrorCode.IF_MATCH_NOT_SUPPORTED: ErrorInfo(
        400,
        "`if-match`",
        ("If-Match is not supported with POST. Use it with PUT, PATCH or DELETE.",),
        "A new device has no version that `If-Match` can name.",
        "Omit the header.",
    ),
    ErrorCode.OUTDATED: ErrorInfo(
        412,
        "`if-match`",
        (
            "The device has changed since you read it; your change was not saved. data has the current version: merge "
            "your change into it, and retry with the new ETag.",
        ),
        "The device has another version than the one in `If-Match`. `data` and `ETag` are its current version. A weak "
        "tag (`W/…`) never matches.",
        "Merge your change into `data`, or ask your user. Then send the request with the new `ETag`. If a proxy makes "
        "tags weak, see [Concurrency](api/concurrency.md#proxies-that-compress).",
        "with the new `ETag`",
    ),
    ErrorCode.INVALID_IDEMPOTENCY_KEY: ErrorInfo(
        400,
        "`idempotency-key`",
        ("Send 1 to {limit} printable ASCII characters, for example a UUID.",),
        "The header `Idempotency-Key` is empty, too long, or has other characters.",
        "Create a UUID for each request.",
    ),
    ErrorCode.STILL_RUNNING: ErrorInfo(
        409,
        "null",
        (
            "The first request with this Idempotency-Key is still running. Retry with the same key after Retry-After "
            "seconds.",
        ),
        "The same request is being processed, usually because the client retried it after a timeout.",
        "Retry with the same key until you get the response to the first request.",
        LATER,
    ),
    ErrorCode.KEY_REUSED: ErrorInfo(
        422,
        "null",
        ("This Idempotency-Key was used for a different request. Use a new key for each request.",),
        "In the last 24 hours, another method, URL, body or `If-Match` was sent with this `Idempotency-Key`.",
        "Create a new key for each request. Use the same key only to retry the same request.",
    ),
}
SERVER = {
    ErrorCode.INTERNAL_ERROR: ErrorInfo(
        500,
        "null",
        (
            "Internal server error. Report the X-Request-ID of this response to the operator.",
            "Internal server error. Report the time of the request to the operator.",
        ),
        "The registry failed. The operator finds the error in the log under the `X-Request-ID`.",
        "Report it to the operator. A retry rarely helps.",
        "once; a write with the same `Idempotency-Key`",
    ),
    ErrorCode.UNAVAILABLE: ErrorInfo(
        503,
        "null",
        (
            "Temporarily unavailable. Retry after Retry-After seconds; retry a write with the same Idempotency-Key.",
            "The database does not respond.",
        ),
        "The database is restarting, full, locked or read-only, a time limit was exceeded, or the proxy does not reach "
        "the registry.",
        "Retry as described in [Safe retries](api/safe-retries.md). Without an `Idempotency-Key` the client does not "
        "know whether a write was saved.",
        "after `Retry-After` seconds; a write with the same `Idempotency-Key`",
    ),
}
