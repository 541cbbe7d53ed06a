"""Notices of deprecation: the headers Deprecation (RFC 9745), Sunset (RFC 8594) and Link with rel="deprecation".

The decorator `deprecated` is the only source of these headers. docs/compatibility.md lists what is deprecated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.http import HttpResponse
from django.utils.http import http_date
from rest_framework.request import Request

from devices.api import links

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Notice:
    """Since when a feature is deprecated, where this is explained, and when it stops working, if that is decided."""

    since: datetime
    guide: str  # page and heading of the guide
    sunset: datetime | None = None


SINCE = datetime(2026, 11, 28, tzinfo=UTC)
LEGACY_KEYS = Notice(SINCE, "authentication#legacy-keys")
POST_DEVICE = Notice(SINCE, "reference#post-apidevice")


def deprecated(
    notice: Notice, when: Callable[[T], bool] | None = None
) -> Callable[[Callable[Concatenate[Any, Request, P], T]], Callable[Concatenate[Any, Request, P], T]]:
    """Decorate a method that gets a request. Each response to the request has the notice, also if it is an error.

    `when` gets the result of the method: only if it returns True is the request deprecated.
    """

    def decorate(method: Callable[Concatenate[Any, Request, P], T]) -> Callable[Concatenate[Any, Request, P], T]:
        @wraps(method)
        def run(view: Any, request: Request, /, *args: P.args, **kwargs: P.kwargs) -> T:
            if when is None:
                _notices(request).append(notice)
            result = method(view, request, *args, **kwargs)
            if when is not None and when(result):
                _notices(request).append(notice)
            return result

        return run

    return decorate


def _notices(request: Request) -> list[Notice]:
    return request.deprecations  # type: ignore[attr-defined, no-any-return]  # of ApiHeadersMiddleware


def set_headers(response: HttpResponse, notices: Sequence[Notice]) -> None:
    """Add the headers of all notices. There is one date of each kind: the earliest."""
    response["Deprecation"] = f"@{min(notice.since for notice in notices).timestamp():.0f}"
    if sunsets := [notice.sunset for notice in notices if notice.sunset]:
        response["Sunset"] = http_date(min(sunsets).timestamp())
    for notice in notices:
        links.add(response, f"/api/guide/{notice.guide}", "deprecation", type="text/html")
