"""Conditional requests: If-None-Match saves a download, If-Match prevents a lost update.

All ETags are strong validators (RFC 9110, 8.8.1). That of a list is a digest of the body. That of a device has three
parts, such as "7-0b20340c19d30fdc650470f1-5c0a1b2d":

- the id and a digest of the fields, including the name of the hospital: the version of the device;
- a digest of the rest of the body: the naming of the fields, the language of the message, the form of the envelope.

If-Match compares the version: it accepts the ETag of each representation of the current version, because a client can
read with one language and write with another. A weak ETag does not match, as the RFC requires. The exception is the
form of releases before this one, W/"7-0b20340c19d30fdc650470f1", which clients may have stored.
"""

import re
from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from typing import Any

import orjson
from django.http import HttpResponse
from django.utils.cache import get_conditional_response
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _
from rest_framework.request import Request

from devices.api import responses
from devices.api.device_rows import serialize_device
from devices.api.field_names import FIELDS
from devices.api.schema import patterns
from devices.models import Device
from devices.values.error_codes import ErrorCode
from devices.values.errors import FieldError, ValidationFailed

_ETAGS = re.compile(patterns.TAGS)
_TAG = re.compile('(W/)?"([^"]*)"')
_DEVICE_TAG = re.compile(r"(?P<version>\d+-[0-9a-f]{24})(?P<representation>-[0-9a-f]{8})?")
# The ETag of a compressed body ends with -gzip, as that of Apache. Proxies and servers that compress a response change
# its ETag too: Apache's mod_deflate to "x-gzip", Jetty to "x--gzip", Caddy to "x-br", others to "x;gzip".
_COMPRESSED = re.compile(r'(?:--?|;)(?:gzip|br|brotli|zstd|deflate)"', re.IGNORECASE)
ANY = "*"


def device_etag(serialized: Mapping[str, Any], naming: str) -> str:
    """Return the ETag of a serialized device, in the representation with this naming and the current language."""
    return f'"{_version(serialized)}-{_representation(naming, get_language() or "")}"'


def compressed(tag: str) -> str:
    """Return the ETag of the same body after its compression."""
    return f'{tag[:-1]}-gzip"'


def device_response(device: Any) -> HttpResponse:
    """Return the representation of a device."""
    return responses.success(device, _("Device returned."))


def _version(serialized: Mapping[str, Any]) -> str:
    """Return the id and a digest of the fields. It does not depend on their naming."""
    values = list(serialized.values())[: len(FIELDS)]  # with both namings, those in snake_case come first
    return f"{values[0]}-{_digest(orjson.dumps(values))}"


@cache
def _representation(naming: str, language: str) -> str:
    """Return a digest of the representation of a device without its values: naming, language and envelope."""
    with override(language):
        return _digest(device_response(naming).content, 4)


def set_etag(response: HttpResponse, tag: str) -> HttpResponse:
    response["ETag"] = tag
    return response


def conditional(request: Request, response: HttpResponse, tag: str = "") -> HttpResponse:
    """Return the response with its ETag, by default a digest of the body, or 304 if If-None-Match has this ETag."""
    set_etag(response, tag or f'"{_digest(response.content)}"')
    if "If-None-Match" not in request.headers or "If-Match" in request.headers:
        return response
    sent, tag = request.META["HTTP_IF_NONE_MATCH"], response["ETag"]
    request.META["HTTP_IF_NONE_MATCH"] = _uncompressed(sent)
    found = get_conditional_response(request, etag=tag, response=response) or response
    if found.status_code == 304 and compressed(tag) in sent:
        set_etag(found, compressed(tag))  # the cache updates the stored response with the same ETag
    return found


class IfMatch:
    """The condition of If-Match: call it with a device. Without the header it is true for each device."""

    def __init__(self, request: Request) -> None:
        """Parse the header.

        Raises:
            ValidationFailed: the header is malformed.
        """
        sent = request.headers.get("If-Match")
        self.versions = {ANY} if sent is None else _parse(sent)
        if not self.versions:
            message = _('If-Match must be the ETag of a device, such as "7-0b20340c19d30fdc650470f1-5c0a1b2d", or *.')
            raise ValidationFailed([FieldError("if-match", ErrorCode.ETAG, message)])

    def __call__(self, device: Device) -> bool:
        """Return whether the header has an ETag of this version of the device."""
        return ANY in self.versions or f'"{_version(serialize_device(device))}"' in self.versions


def reject_if_match(request: Request) -> None:
    """Raise ValidationFailed for a POST with If-Match: a new device has no ETag, and ignoring the header is unsafe."""
    if "If-Match" in request.headers:
        message = _("If-Match is not supported with POST. Use it with PUT, PATCH or DELETE.")
        raise ValidationFailed([FieldError("if-match", ErrorCode.IF_MATCH_NOT_SUPPORTED, message)])


def _parse(header: str) -> set[str]:
    """Return the versions of devices in the ETags, in quotes; {ANY} for `*`; the empty set if the header is malformed.

    Any other ETag, and a weak one of this release, are returned as they are. They match no version.
    """
    tags = header.strip(" \t")
    if not _ETAGS.fullmatch(tags):
        return set()
    if tags == ANY:
        return {ANY}
    versions = set()
    for is_weak, tag in _TAG.findall(_uncompressed(tags)):
        found = _DEVICE_TAG.fullmatch(tag)
        is_version = found is not None and not (is_weak and found["representation"])
        versions.add(f'"{found["version"]}"' if found and is_version else f'{is_weak}"{tag}"')
    return versions


def _uncompressed(tags: str) -> str:
    """Return the ETags without the endings that a proxy added."""
    return _COMPRESSED.sub('"', tags)


def _digest(content: bytes, size: int = 12) -> str:
    return blake2b(content, digest_size=size).hexdigest()
