"""The middleware of all requests."""

import random
import re
from functools import lru_cache
from http import HTTPStatus
from time import monotonic, time
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, logout
from django.core.exceptions import BadRequest, MiddlewareNotUsed
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.middleware import common
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.deprecation import MiddlewareMixin
from django.utils.translation import gettext_lazy as _

from cexup.logs import current_request_id
from devices.accounts.sessions import BEGAN_AT
from devices.api import deprecation, responses
from devices.api.authentication import HEADER
from devices.values.error_codes import ErrorCode
from devices.values.errors import FieldError

# The name of a locale in Java or POSIX: in_ID, id_ID_#Latn, id_ID.UTF-8, id_ID@currency=IDR. `in` is the old code of
# Indonesian, which Java (and Android) sent until Java 17. `ind` is the code of ISO 639-2.
# https://docs.oracle.com/en/java/javase/17/docs/api/java.base/java/util/Locale.html#legacy_language_codes
INDONESIAN = re.compile(r"(?<![^\s,])(?:in|id|ind)(?:[-_.@#][^\s,;]*)?(?=[\s,;]|$)", re.IGNORECASE)
LOCALE = re.compile(r"(?<![^\s,])([a-z-]+)[_.@#][^\s,;]*", re.IGNORECASE)
HEALTH_CHECKS = {"/healthz", "/healthz/", "/readyz", "/readyz/"}
# Steps of SQLite's virtual machine between two checks of the clock: 10 to 50 ms. A usual list has fewer steps, so it
# makes no check. Each check has to wait for the GIL.
SQLITE_STEPS = 100_000
VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def is_api(request: HttpRequest) -> bool:
    return responses.is_api_path(request.path_info)


def language_of(request: HttpRequest) -> str:
    if accepted := request.META.get("HTTP_ACCEPT_LANGUAGE"):
        request.META["HTTP_ACCEPT_LANGUAGE"] = _language_tags(accepted)
    return translation.get_language_from_request(request)


@lru_cache(maxsize=100)
def _language_tags(accepted: str) -> str:
    """Return the header with language tags, where a client sent names of locales. Django ignores the whole header."""
    return LOCALE.sub(r"\1", INDONESIAN.sub("id", accepted))


class RequestIdMiddleware(MiddlewareMixin):
    """Set the id of the request for response, log and history: a valid `X-Request-ID` of the client, or a new id."""

    def process_request(self, request: HttpRequest) -> None:
        sent = request.headers.get("X-Request-ID", "")
        request_id = sent if VALID_REQUEST_ID.fullmatch(sent) else f"{random.getrandbits(128):032x}"
        request.request_id = request_id  # type: ignore[attr-defined]
        # It is kept until the next request, because Django logs errors after all middleware.
        current_request_id.set(request_id)

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
        return response


class SQLiteStatementLimitMiddleware(MiddlewareMixin):
    """Interrupt an SQLite statement that runs longer than DATABASE_STATEMENT_TIMEOUT. PostgreSQL has its own limit.

    SQLite rolls the transaction back, which releases the write lock. Django raises an OperationalError, and the client
    receives 503 with Retry-After. Commands have no limit, and neither has a download after its response has begun: it
    takes as long as the client needs to read it.
    """

    def __init__(self, get_response: Any) -> None:
        super().__init__(get_response)
        self.seconds = settings.DATABASE_STATEMENT_TIMEOUT
        if connection.vendor != "sqlite" or not self.seconds:
            raise MiddlewareNotUsed

    def __call__(self, request: HttpRequest) -> Any:
        with connection.execute_wrapper(self.limit):
            try:
                return self.get_response(request)
            finally:
                if connection.connection is not None:
                    connection.connection.set_progress_handler(None, 0)

    def limit(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        end = monotonic() + self.seconds
        context["connection"].connection.set_progress_handler(lambda: monotonic() > end, SQLITE_STEPS)
        return execute(sql, params, many, context)


class ApiHeadersMiddleware(MiddlewareMixin):
    """Add Vary, Cache-Control, the rate-limit headers and notices of deprecation to each API response.

    Shared caches must not send the response for one key to another key. This middleware comes before all others that
    can respond or fail, so it handles every response under /api/.
    """

    def process_request(self, request: HttpRequest) -> None:
        request.rate_limit_headers = {}  # type: ignore[attr-defined]  # filled by devices/api/throttling.py
        request.deprecations = []  # type: ignore[attr-defined]  # filled by devices/api/deprecation.py

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if is_api(request):
            patch_vary_headers(response, [HEADER, "Accept-Encoding"])
            response["Cache-Control"] = "private, no-cache" if "ETag" in response else "no-store"
            for name, value in request.rate_limit_headers.items():  # type: ignore[attr-defined]
                response[name] = value
            if request.deprecations:  # type: ignore[attr-defined]
                deprecation.set_headers(response, request.deprecations)  # type: ignore[attr-defined]
        return response


class HttpsMiddleware(MiddlewareMixin):
    """Reject API requests over plain HTTP, and let Django's SecurityMiddleware redirect other requests with 308.

    A redirected API client would continue to send its key unencrypted. A preflight request is rejected too, before a
    key is sent. The status of Django is 301, after which clients send a GET in place of a POST (RFC 9110, 15.4.2).
    """

    def __call__(self, request: HttpRequest) -> Any:
        if not settings.SECURE_SSL_REDIRECT or request.is_secure():
            return self.get_response(request)
        if is_api(request):
            with translation.override(language_of(request)):
                problem = FieldError(
                    None, ErrorCode.HTTPS_REQUIRED, _("Plain HTTP is not accepted. Send the request over HTTPS.")
                )
                return responses.error_with_data(403, problem, [])
        response: Any = self.get_response(request)
        if response.status_code == HTTPStatus.MOVED_PERMANENTLY:
            response.status_code = HTTPStatus.PERMANENT_REDIRECT
        return response


class CommonMiddleware(common.CommonMiddleware):
    """Django's CommonMiddleware, which checks the Host. Health checks may use any Host, such as the address of a pod.

    They do not use the Host, and their responses are the same for every client.
    """

    def process_request(self, request: HttpRequest) -> Any:
        return None if request.path_info in HEALTH_CHECKS else super().process_request(request)


class LanguageMiddleware(MiddlewareMixin):
    """Respond in the language of the language cookie or, without one, of `Accept-Language`.

    Unlike Django's LocaleMiddleware it does not read the language from the path, and it reads names of locales.
    """

    def process_request(self, request: HttpRequest) -> None:
        translation.activate(language_of(request))

    def process_response(self, _request: HttpRequest, response: HttpResponse) -> HttpResponse:
        patch_vary_headers(response, ["Accept-Language"])
        response.headers.setdefault("Content-Language", translation.get_language())
        return response


class NoNulMiddleware(MiddlewareMixin):
    """Reject a NUL in the query string, which PostgreSQL cannot store. The API reports it with the parameter."""

    def process_request(self, request: HttpRequest) -> None:
        if "%00" in request.META.get("QUERY_STRING", "") and not is_api(request):
            raise BadRequest("There is a NUL in the query string.")


class SessionEndMiddleware(MiddlewareMixin):
    """End a session SESSION_MAX_AGE after the sign-in, even if it is in use."""

    def process_request(self, request: HttpRequest) -> None:
        if settings.SESSION_COOKIE_NAME in request.COOKIES and SESSION_KEY in request.session:
            began_at = request.session.setdefault(BEGAN_AT, time())
            if time() - began_at > settings.SESSION_MAX_AGE:
                logout(request)


class ClearSiteDataMiddleware(MiddlewareMixin):
    """Make the browser delete its data of the admin when a session has ended.

    A session ends by signing out, by its age, or in another session of the user. In the last case the session of the
    cookie is empty. Cookies are not cleared, because the header would delete the cookies of the whole domain.
    """

    def __call__(self, request: HttpRequest) -> Any:
        has_cookie = settings.SESSION_COOKIE_NAME in request.COOKIES
        was_signed_in = has_cookie and SESSION_KEY in request.session
        response: Any = self.get_response(request)
        has_ended = was_signed_in or (has_cookie and request.session.is_empty())
        if has_ended and SESSION_KEY not in request.session:
            response["Clear-Site-Data"] = '"cache", "storage"'
        return response


class ContentSecurityPolicyMiddleware(MiddlewareMixin):
    """Prevent pages from loading content of other hosts and from running inline scripts.

    The admin uses Alpine, which compiles the text of attributes, so only the admin has `unsafe-eval`. The admin writes
    its colors in a style element, so inline styles are allowed. https://alpinejs.dev/advanced/csp
    """

    PAGES = (
        "default-src 'self'; script-src 'self'{eval}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")  # also if SecurityMiddleware has failed
        allowed = " 'unsafe-eval'" if request.path_info.startswith("/admin/") else ""
        response["Content-Security-Policy"] = self.PAGES.format(eval=allowed)
        return response
