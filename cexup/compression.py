"""Compress responses with gzip, if the client accepts it: the pages of the admin, and large responses of the API."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.middleware.gzip import GZipMiddleware
from django.templatetags.static import static

from cexup.middleware import is_api
from devices.api import conditional

MIN_API_BYTES = 4096  # gzip needs 60 microseconds for a list of 20 devices, a tenth of the CPU time of the request


class CompressionMiddleware:
    """Pass each response to the compression of pages or to that of the API."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.pages, self.api = PageCompression(get_response), ApiCompression(get_response)

    def __call__(self, request: HttpRequest) -> Any:
        compression = self.api if is_api(request) else self.pages
        return compression.process_response(request, self.get_response(request))


class PageCompression(GZipMiddleware):
    """Compress the pages that a browser opens with GET, and announce their style sheet before their text is loaded.

    Django adds random bytes, so that the size of a page reveals little about its content (BREACH). Not compressed are
    responses to POST, which can show a new API key, password link or recovery codes, and the page with the setup key of
    an authenticator app. Downloads are not compressed either, because XLSX files already are.
    """

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        is_page = response.get("Content-Type", "").startswith("text/html") and not response.streaming
        if request.method != "GET" or not is_page:
            return response
        if response.status_code == 200:
            response["Link"] = f"<{static('unfold/css/styles.css')}>; rel=preload; as=style"
        has_secret = request.path_info.startswith("/admin/two-factor/")
        return response if has_secret else super().process_response(request, response)


class ApiCompression(GZipMiddleware):
    """Compress responses under /api/ from 4 KiB on. ApiHeadersMiddleware sets Vary, also for those that are shorter.

    No random bytes are added: BREACH needs a browser that sends the credentials of a user by itself, and a secret in
    the response. An API key is sent only by code that has it. Without them the same body has the same compressed bytes,
    so its ETag is strong too (RFC 9110, 8.8.3.3). It differs from that of the uncompressed body.
    """

    max_random_bytes = 0

    def process_response(self, request: HttpRequest, response: Any) -> HttpResponse:
        accepted = request.META.get("HTTP_ACCEPT_ENCODING")
        if not accepted or response.streaming or len(response.content) < MIN_API_BYTES or not accepts_gzip(accepted):
            return response  # type: ignore[no-any-return]
        tag = response.get("ETag")
        response = super().process_response(request, response)
        if tag and "Content-Encoding" in response:
            response["ETag"] = conditional.compressed(tag)
        return response  # type: ignore[no-any-return]


def accepts_gzip(accepted: str) -> bool:
    """Return whether Accept-Encoding has gzip with a weight above 0. Django ignores the weight."""
    for coding in accepted.split(","):
        name, _semicolon, weight = coding.replace(" ", "").partition(";")
        if name == "gzip":
            return not (weight.startswith("q=0") and not weight[3:].strip(".0"))
    return False
