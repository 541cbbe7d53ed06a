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

from devices.api import patterns
from devices.api.serializers import serialize_device
from devices.models import Device
from devices.problems import Problem, Refused

_TAGS = re.compile(patterns.TAGS)
_OPAQUE = re.compile('"[^"]*"')
ANY = "*"


def of_device(serialized: Mapping[str, Any]) -> str:
    """Return the tag of a device in the representation of a response, in any naming."""
    values = list(serialized.values())
    return f'W/"{values[0]}-{blake2b(orjson.dumps(values), digest_size=12).hexdigest()}"'


def put_on(response: HttpResponse, tag: str | None) -> HttpResponse:
    if tag:
        response["ETag"] = tag
    return response


def conditional(request: Request, response: HttpResponse, tag: str | None = None) -> HttpResponse:
    """Return the response with its tag, or 304 without a body if the client has it already.

    Without a tag it is a digest of the body.
    """
    tag = tag or f'W/"{blake2b(response.content, digest_size=12).hexdigest()}"'
    put_on(response, tag)
    if "If-None-Match" not in request.headers or "If-Match" in request.headers:
        return response
    return get_conditional_response(request, etag=tag, response=response) or response


class Expected:
    """What the client has seen of the device that it changes, by its If-Match; nothing if it sent none."""

    def __init__(self, request: Request) -> None:
        """Read the header.

        Raises:
            Refused: it has no tag in it.
        """
        sent = request.headers.get("If-Match")
        self.tags = None if sent is None else _read(sent)
        if sent is not None and not self.tags:
            message = _('If-Match needs the ETag of a device, such as W/"7-5d41402abc4b2a76", or *.')
            raise Refused([Problem("if-match", "etag", message)])

    def __call__(self, device: Device) -> bool:
        """Tell whether the device is as the client has seen it."""
        return self.tags is None or ANY in self.tags or _opaque(of_device(serialize_device(device, {}))) in self.tags


def refuse_if_match(request: Request) -> None:
    """Refuse what would otherwise be passed over in silence: what is new has no version that a client has seen."""
    if "If-Match" in request.headers:
        message = _("If-Match says which version of a device to change: send it with PUT, PATCH or DELETE.")
        raise Refused([Problem("if-match", "etag", message)])


def _read(header: str) -> set[str] | None:
    """Return each tag in its quotes, by which `"*"` is not `*`; None if anything else stands there."""
    tags = header.strip(" \t")
    if not _TAGS.fullmatch(tags):
        return None
    return {ANY} if tags == ANY else set(_OPAQUE.findall(tags))


def _opaque(tag: str) -> str:
    return tag.removeprefix("W/")
