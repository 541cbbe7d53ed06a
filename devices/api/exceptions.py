"""What the API refuses besides what DRF's own exceptions say."""

from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException


class DeviceRetired(APIException):
    status_code = status.HTTP_410_GONE
    default_detail = _("This device was taken out of the registry.")
    default_code = "retired"


class RequestInProgress(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = _("The first request with this Idempotency-Key is still running. Ask again in a moment.")
    default_code = "still_running"
    wait = 1  # seconds, sent as Retry-After


class IdempotencyKeyReused(APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_detail = _("This Idempotency-Key came with another request before. Use a new one for each.")
    default_code = "key_reused"


class CursorExpired(APIException):
    status_code = status.HTTP_410_GONE
    default_detail = _("Changes behind this cursor are no longer kept. Drop your copy and begin again, without since.")
    default_code = "cursor_too_old"


class BodyTooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class TooManyRequests(APIException):
    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "too_many_requests"

    def __init__(self, detail: str, wait: int) -> None:
        super().__init__(detail)
        self.wait = wait  # seconds, sent as Retry-After


class Unavailable(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = _("The database cannot do this now. Send the same request again in a moment.")
    default_code = "unavailable"
    wait = 1  # seconds, sent as Retry-After
