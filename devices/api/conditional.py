"""Conditional requests: If-None-Match saves a download, If-Match prevents a lost update.

The ETag of a device is a digest of its fields, including the name of its hospital. The ETag of a list is a digest of
the response.

All ETags are weak (RFC 9110, 8.8.1), because the same device has several representations: three namings, two languages.
For the same reason If-Match is compared weakly, although the RFC requires the strong comparison.
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

from devices.api.field_names import FIELDS
from devices.api.schema import patterns
from devices.api.serializers import serialize_device
from devices.models import Device
from devices.values.error_codes import ErrorCode
from devices.values.errors import FieldError, ValidationFailed

_ETAGS = re.compile(patterns.TAGS)
_OPAQUE = re.compile('"[^"]*"')
# Proxies and servers that compress a response change its ETag: Apache's mod_deflate to "x-gzip", Jetty to "x--gzip",
# Caddy to "x-br", others to "x;gzip". The ETags of the registry end otherwise.
_COMPRESSED = re.compile(r'(?:--?|;)(?:gzip|br|brotli|zstd|deflate)"', re.IGNORECASE)
ANY = "*"


def device_etag(serialized: Mapping[str, Any]) -> str:
    """Return the ETag of a serialized device. It is the same in each naming, as the first values are."""
    values = list(serialized.values())[: len(FIELDS)]
    return f'W/"{values[0]}-{_digest(orjson.dumps(values))}"'


def set_etag(response: HttpResponse, tag: str) -> HttpResponse:
    response["ETag"] = tag
    return response


def conditional(request: Request, response: HttpResponse, tag: str = "") -> HttpResponse:
    """Return the response with its ETag, by default a digest of the body, or 304 if If-None-Match has this ETag."""
    set_etag(response, tag or f'W/"{_digest(response.content)}"')
    if "If-None-Match" not in request.headers or "If-Match" in request.headers:
        return response
    request.META["HTTP_IF_NONE_MATCH"] = _uncompressed(request.META["HTTP_IF_NONE_MATCH"])
    return get_conditional_response(request, etag=response["ETag"], response=response) or response


class IfMatch:
    """The condition of If-Match: call it with a device. Without the header it is true for each device."""

    def __init__(self, request: Request) -> None:
        """Parse the header.

        Raises:
            ValidationFailed: the header is malformed.
        """
        sent = request.headers.get("If-Match")
        self.tags = {ANY} if sent is None else _parse(sent)
        if not self.tags:
            message = _('If-Match must be the ETag of a device, for example W/"7-5d41402abc4b2a76", or *.')
            raise ValidationFailed([FieldError("if-match", ErrorCode.ETAG, message)])

    def __call__(self, device: Device) -> bool:
        """Return whether the header has the ETag of this device."""
        return ANY in self.tags or device_etag(serialize_device(device)).removeprefix("W/") in self.tags


def reject_if_match(request: Request) -> None:
    """Raise ValidationFailed for a POST with If-Match: a new device has no ETag, and ignoring the header is unsafe."""
    if "If-Match" in request.headers:
        message = _("If-Match is not supported with POST. Use it with PUT, PATCH or DELETE.")
        raise ValidationFailed([FieldError("if-match", ErrorCode.IF_MATCH_NOT_SUPPORTED, message)])


def _parse(header: str) -> set[str]:
    """Return the ETags in quotes, without `W/`; {ANY} for `*`; the empty set if the header is malformed."""
    tags = header.strip(" \t")
    if not _ETAGS.fullmatch(tags):
        return set()
    return {ANY} if tags == ANY else set(_OPAQUE.findall(_uncompressed(tags)))


def _uncompressed(tags: str) -> str:
    """Return the ETags without the endings that a proxy added."""
    return _COMPRESSED.sub('"', tags)


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=12).hexdigest()
