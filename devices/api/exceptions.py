"""The exceptions of the API. Each has the code, the status and the message of one error that belongs to no field."""

from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException

from devices.values.error_codes import ErrorCode


class MalformedRequest(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = _("The HTTP request is malformed.")
    default_code = ErrorCode.MALFORMED_REQUEST


class InvalidHost(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = _("Invalid Host header. Check the base URL. The operator must list the host in ALLOWED_HOSTS.")
    default_code = ErrorCode.INVALID_HOST


class TooManyParameters(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = _("The URL has too many query parameters.")
    default_code = ErrorCode.TOO_MANY_PARAMETERS


class IncompleteBody(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = _("The body is shorter than its Content-Length. Retry the request.")
    default_code = ErrorCode.INCOMPLETE_BODY


class InvalidJSON(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_code = ErrorCode.INVALID_JSON


class NestedTooDeeply(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = _("The JSON is nested too deeply for a request with an Idempotency-Key.")
    default_code = ErrorCode.NESTED_TOO_DEEPLY


class AccessDenied(APIException):
    status_code = status.HTTP_403_FORBIDDEN
    default_detail = _("Access denied.")
    default_code = ErrorCode.ACCESS_DENIED


class AddressNotAllowed(APIException):
    status_code = status.HTTP_403_FORBIDDEN
    default_detail = _("This API key cannot be used from your IP address. Ask the operator to allow your network.")
    default_code = ErrorCode.ADDRESS_NOT_ALLOWED


class DeviceNotFound(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_detail = _("Device not found. It does not exist, or it is outside the scope of this API key.")
    default_code = ErrorCode.NOT_FOUND


class HospitalNotFound(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_detail = _("Hospital not found. It does not exist, or it is outside the scope of this API key.")
    default_code = ErrorCode.NOT_FOUND


class EndpointNotFound(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_detail = _("There is no such endpoint. See /api/docs.")
    default_code = ErrorCode.ENDPOINT_NOT_FOUND


class RequestInProgress(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = _(
        "The first request with this Idempotency-Key is still running. Retry with the same key after Retry-After "
        "seconds."
    )
    default_code = ErrorCode.STILL_RUNNING
    wait = 1  # seconds, sent as Retry-After


class DeviceRetired(APIException):
    status_code = status.HTTP_410_GONE
    default_detail = _("This device was retired. An operator or hospital admin can restore it.")
    default_code = ErrorCode.RETIRED


class CursorExpired(APIException):
    status_code = status.HTTP_410_GONE
    default_detail = _(
        "The cursor is too old, or belongs to a key with another scope. Delete your copy and start again without since."
    )
    default_code = ErrorCode.CURSOR_TOO_OLD


class BodyTooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = ErrorCode.TOO_LARGE


class TooManyItems(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = ErrorCode.TOO_MANY_ITEMS

    def __init__(self, number: int, limit: int) -> None:
        message = _("The array has %(number)d devices. The maximum is %(limit)d. Split it into several requests.")
        super().__init__(message % {"number": number, "limit": limit})


class CompressedBody(APIException):
    status_code = status.HTTP_415_UNSUPPORTED_MEDIA_TYPE
    default_detail = _("Compressed bodies are not supported. Send the body without Content-Encoding.")
    default_code = ErrorCode.UNSUPPORTED_MEDIA_TYPE
    accepted = "identity"  # sent as Accept-Encoding (RFC 9110, 12.5.3)


class UnknownCharset(APIException):
    status_code = status.HTTP_415_UNSUPPORTED_MEDIA_TYPE
    default_detail = _("The charset of the Content-Type is unknown. Send the body in UTF-8.")
    default_code = ErrorCode.UNSUPPORTED_MEDIA_TYPE


class IdempotencyKeyReused(APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_detail = _("This Idempotency-Key was used for a different request. Use a new key for each request.")
    default_code = ErrorCode.KEY_REUSED


class TooManyRequests(APIException):
    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = ErrorCode.TOO_MANY_REQUESTS

    def __init__(self, detail: str, wait: int, code: ErrorCode = ErrorCode.TOO_MANY_REQUESTS) -> None:
        super().__init__(detail, code)
        self.wait = wait  # seconds, sent as Retry-After


class InternalError(APIException):
    status_code = status.HTTP_500_INTERNAL_SERVER_ERROR
    default_detail = _("Internal server error. Report the X-Request-ID of this response to the operator.")
    default_code = ErrorCode.INTERNAL_ERROR


class Unavailable(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = _(
        "Temporarily unavailable. Retry after Retry-After seconds; retry a write with the same Idempotency-Key."
    )
    default_code = ErrorCode.UNAVAILABLE
    wait = 1  # seconds, sent as Retry-After
