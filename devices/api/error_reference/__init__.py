"""Describe each error code. docs/errors.md is written from this (`make docs`), and the tests check both."""

from collections.abc import Mapping

from devices.api.error_reference import data, requests
from devices.api.error_reference.info import ErrorInfo
from devices.values.error_codes import ErrorCode

REFERENCE: Mapping[str, Mapping[ErrorCode, ErrorInfo]] = {
    "Authentication and permissions": requests.AUTHENTICATION,
    "Limits": requests.LIMITS,
    "HTTP request": requests.HTTP,
    "Body": requests.BODY,
    "Fields and parameters": data.VALUES,
    "Devices, hospitals and the change feed": data.DEVICES,
    "Conditional requests and safe retries": data.HEADERS,
    "Server": data.SERVER,
}
ERRORS: Mapping[ErrorCode, ErrorInfo] = {code: info for group in REFERENCE.values() for code, info in group.items()}
