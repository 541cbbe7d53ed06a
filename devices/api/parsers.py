"""Parse the bodies of requests."""

from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import IO, Any

import orjson
from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework.parsers import BaseParser

from devices.api.exceptions import BodyTooLarge, CompressedBody, IncompleteBody, InvalidJSON, UnknownCharset

DRAIN_LIMIT = 64 * 1024 * 1024  # bytes
# Python objects take up to 30 times the memory of their JSON. The largest valid array needs a tenth of these limits.
MAX_OBJECTS, MAX_VALUES = 100_000, 500_000


class JSONParser(BaseParser):
    """Parse JSON in UTF-8 after checking its size and its number of values."""

    media_type = "application/json"
    max_body: int = settings.API_MAX_BODY  # bytes

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        headers = (parser_context or {})["request"].META
        length = int(headers["CONTENT_LENGTH"])
        if length > self.max_body:
            _drain(stream)
            limit = f"{self.max_body / 2**20:g} MiB"
            raise BodyTooLarge(
                _("The body is larger than %(limit)s. Split it into several requests.") % {"limit": limit}
            )
        body = stream.read()
        if len(body) < length:
            raise IncompleteBody
        if headers.get("HTTP_CONTENT_ENCODING", "").strip().lower() not in ("", "identity"):
            raise CompressedBody
        if not _is_charset_known(headers.get("registry.content_type", "")):
            raise UnknownCharset
        if body.count(b"{") + body.count(b"[") > MAX_OBJECTS or body.count(b",") > MAX_VALUES:
            raise BodyTooLarge(_("The body has too many JSON values. Split it into several requests."))
        try:
            return orjson.loads(body.removeprefix(BOM_UTF8))
        except orjson.JSONDecodeError as error:
            raise InvalidJSON(_("The body is not valid JSON in UTF-8: %(error)s.") % {"error": error}) from error


def _is_charset_known(content_type: str) -> bool:
    """Return whether the charset of the content type, if there is one, is the name of an encoding of text.

    A known charset has no effect (RFC 8259, 8.1): some clients send ISO-8859-1 with JSON in ASCII.
    """
    for parameter in content_type.split(";")[1:]:
        name, _equals, value = parameter.strip().partition("=")
        if name.lower() == "charset" and value.strip('" '):
            try:
                "".encode(value.strip('"'))
            except (LookupError, ValueError):
                return False
    return True


def _drain(stream: IO[Any]) -> None:
    """Read and discard the body: most clients read a response only after they have sent the whole body.

    If more than DRAIN_LIMIT is left, the connection is closed.
    """
    left = DRAIN_LIMIT
    while left > 0 and (chunk := stream.read(min(left, 65536))):
        left -= len(chunk)
