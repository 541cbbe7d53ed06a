"""The headers Link (RFC 8288) and Location (RFC 9110, 10.2.2)."""

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request

P = ParamSpec("P")

# nginx has 4 KiB for all headers of a response. URLs with long filters would need more; the body has them too.
MAX_LENGTH = 2000
_ID = re.compile(r'(?:W/)?"(\d+)-')


def add(response: HttpResponse, url: str, rel: str, **attributes: str) -> None:
    """Add a link to the response. The URL is absolute, or relative to the URL of the request."""
    link = "; ".join([f"<{url}>", f'rel="{rel}"', *(f'{name}="{value}"' for name, value in attributes.items())])
    response["Link"] = f"{response['Link']}, {link}" if "Link" in response else link


def set_pages(response: HttpResponse, pagination: Mapping[str, Any], first: str | None = None) -> HttpResponse:
    """Link to the first, the previous and the next page: the URLs of `pagination` in the body."""
    urls = {"first": first, "prev": pagination.get("previous"), "next": pagination["next"]}
    header = ", ".join([f'<{url}>; rel="{rel}"' for rel, url in urls.items() if url])
    if header and len(header) <= MAX_LENGTH:
        response["Link"] = header
    return response


def located(action: Callable[Concatenate[Any, Request, P], HttpResponse]) -> Any:
    """Decorate an action that registers devices: a 201 with one device has its URL in Location, also if repeated.

    Such a response has the ETag of the device, which begins with its id. A dry run has none.
    """

    @wraps(action)
    def run(view: Any, request: Request, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        response = action(view, request, *args, **kwargs)
        if response.status_code == 201 and (found := _ID.match(response.get("ETag", ""))):
            response["Location"] = url_of(request, f"/api/device/{found[1]}")
        return response

    return run


def url_of(request: HttpRequest, path: str) -> str:
    """Return the absolute URL of the path, as in `pagination`."""
    return f"{request.scheme}://{request.get_host()}{path}"
