"""Describe a request in the log and in traces: by ids, the route and the address, and never by its content."""

import re
from typing import Any, NamedTuple

from django.http import HttpRequest

from devices.access.client_ip import client_ip
from devices.models import ApiKey

# The header of W3C Trace Context: version, trace id, id of the calling span, flags. Ids of zeros are invalid. A later
# version than 00 may have more fields. https://www.w3.org/TR/trace-context/#traceparent-header
TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII
)
LONGEST_TRACEPARENT = 512  # characters


class Trace(NamedTuple):
    """The ids of a trace and of a span in it, in hexadecimal, and whether the caller records the trace."""

    trace_id: str
    span_id: str
    sampled: bool


def parse_traceparent(text: str) -> Trace | None:
    """Return the trace of a `traceparent` header, or None if it is not valid."""
    match = TRACEPARENT.fullmatch(text) if len(text) <= LONGEST_TRACEPARENT else None
    if match is None or (match[1] == "00" and match[5]):
        return None
    return Trace(match[2], match[3], bool(int(match[4], 16) & 1))


def trace_of(request: HttpRequest) -> Trace | None:
    """Return the span of the registry if it records traces (tracing.py), else that of the caller, or None."""
    if hasattr(request, "trace"):
        return request.trace  # type: ignore[no-any-return]
    return parse_traceparent(request.META.get("HTTP_TRACEPARENT", ""))


def route_of(request: HttpRequest) -> str | None:
    """Return the template of the path, such as `api/device/<int:id_device>`, or None before the path is resolved."""
    return request.resolver_match.route if request.resolver_match else None


def caller_of(request: HttpRequest) -> dict[str, int | None]:
    """Return the id of the API key, of its hospital if it has exactly one, and of the user of the admin.

    It makes no query: a value that nothing has loaded yet is None.
    """
    key = getattr(request, "denied_key", None) or getattr(request, "auth", None)
    if not isinstance(key, ApiKey):
        key = None
    hospitals = key.scope_hospitals if key and not key.all_hospitals else ()
    return {
        "key_id": key.pk if key else None,
        "hospital_id": hospitals[0].pk if len(hospitals) == 1 else None,
        "user_id": getattr(request, "signed_in_id", None),
    }


def describe(request: HttpRequest) -> dict[str, Any]:
    """Return the fields of a log record that belong to this request. A value that is not known is None."""
    trace = trace_of(request)
    return {
        "trace_id": trace and trace.trace_id,
        "span_id": trace and trace.span_id,
        "method": request.method,
        "route": route_of(request),
        **caller_of(request),
        "ip_address": client_ip(request),
    }
