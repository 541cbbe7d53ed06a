"""ETags: a client does not download what it has, and does not overwrite a version that it has not seen.

A device's tag is a digest of its fields, the name of its hospital included. A list's tag is a digest of the response.

All tags are weak (RFC 9110, 8.8.1): two namings and languages show the same device in other words. For that reason
If-Match is compared weakly as well, where the RFC would have it fail.
"""

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import orjson
from django.http import HttpResponse
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext as _
from rest_framework.request import Request

from devices.api.schema import patterns
from devices.api.serializers import serialize_device
from devices.models import Device
from devices.values.error_codes import ErrorCode
from devices.values.errors import FieldError, ValidationFailed

_TAGS = re.compile(patterns.TAGS)
_OPAQUE = re.compile('"[^"]*"')
ANY = "*"


def device_etag(serialized: Mapping[str, Any]) -> str:
    """Return the tag of a serialized device, which is the same in any naming."""
    values = list(serialized.values())
    return f'W/"{values[0]}-{_digest(orjson.dumps(values))}"'


def set_etag(response: HttpResponse, tag: str) -> HttpResponse:
    response["ETag"] = tag
    return response


def conditional(request: Request, response: HttpResponse, tag: str = "") -> HttpResponse:
    """Return the response with its tag, by default a digest of the body, or 304 if the client has it already."""
    set_etag(response, tag or f'W/"{_digest(response.content)}"')
    if "If-None-Match" not in request.headers or "If-Match" in request.headers:
        return response
    return get_conditional_response(request, etag=response["ETag"], response=response) or response


class IfMatch:
    """The versions of a device that a client would change, by its If-Match; any version if it sent none."""

    def __init__(self, request: Request) -> None:
        """Read the header.

        Raises:
            Refused: it has no tag in it.
        """
        sent = request.headers.get("If-Match")
        self.tags = {ANY} if sent is None else _parse(sent)
        if not self.tags:
            message = _('If-Match must be the ETag of a device, for example W/"7-5d41402abc4b2a76", or *.')
            raise ValidationFailed([FieldError("if-match", ErrorCode.ETAG, message)])

    def __call__(self, device: Device) -> bool:
        """Return whether the device is one of these versions."""
        return ANY in self.tags or device_etag(serialize_device(device, {})).removeprefix("W/") in self.tags


def reject_if_match(request: Request) -> None:
    """Refuse If-Match with a new device, which has no version, instead of ignoring it."""
    if "If-Match" in request.headers:
        message = _("If-Match is not supported with POST. Use it with PUT, PATCH or DELETE.")
        raise ValidationFailed([FieldError("if-match", ErrorCode.IF_MATCH_NOT_SUPPORTED, message)])


def _parse(header: str) -> set[str]:
    """Return each tag in its quotes, or ANY, which has none; nothing if the header is malformed."""
    tags = header.strip(" \t")
    if not _TAGS.fullmatch(tags):
        return set()
    return {ANY} if tags == ANY else set(_OPAQUE.findall(tags))


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=12).hexdigest()
