"""What every request passes, whatever it asks for."""

import random
import re
import time
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import SESSION_KEY, logout
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext_lazy as _

from cexup.logs import current_request_id
from devices.api import envelope
from devices.api.authentication import HEADER
from devices.problems import Problem
from devices.sessions import BEGAN_AT

OLD_INDONESIAN = re.compile(r"(?<![\w-])in(?=[-,;\s]|$)", re.IGNORECASE)
SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def is_api(request: HttpRequest) -> bool:
    return request.path_info == "/api" or request.path_info.startswith("/api/")


def language_of(request: HttpRequest) -> str:
    if accepted := request.META.get("HTTP_ACCEPT_LANGUAGE"):
        request.META["HTTP_ACCEPT_LANGUAGE"] = OLD_INDONESIAN.sub("id", accepted)
    return translation.get_language_from_request(request)


class RequestIdMiddleware:
    """Name each request, so that a client's report, the log and the history can be laid side by side.

    The client's `X-Request-ID` is kept if it is sane, else a new one is made. It stands in `request.request_id`
    and on the response.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sent = request.headers.get("X-Request-ID", "")
        request_id = sent if SANE_REQUEST_ID.fullmatch(sent) else f"{random.getrandbits(128):032x}"
        request.request_id = request_id  # type: ignore[attr-defined]
        current_request_id.set(request_id)  # until the thread's next request: Django logs errors after all middleware
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        return response


class Utf8Middleware:
    """Decode the query string and forms as UTF-8, whatever charset the Content-Type names.

    A client could name any codec of Python: `punycode` takes quadratic time, `unicode_escape` makes texts that no
    database stores.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.encoding:
            request.encoding = "utf-8"
        return self.get_response(request)


class ApiHeadersMiddleware:
    """Add to each API response what shared caches may do with it, and the state of the rate limit.

    Caches must not send one key's response to another. This middleware comes before all that may respond or fail, so
    every response under /api/ passes it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if is_api(request):
            patch_vary_headers(response, [HEADER])
            response["Cache-Control"] = "private, no-cache" if "ETag" in response else "no-store"
            for name, value in getattr(request, "rate_limit", {}).items():  # set by devices/api/limits.py
                response[name] = value
        return response


class ApiHttpsMiddleware:
    """Reject API requests over plain HTTP, where Django's SecurityMiddleware redirects other pages.

    A client that is redirected goes on sending its key in clear. A preflight is rejected too, before a key is sent.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.SECURE_SSL_REDIRECT and is_api(request) and not request.is_secure():
            with translation.override(language_of(request)):
                problem = Problem(None, "https_required", _("Plain HTTP is not accepted. Send the request over HTTPS."))
                return envelope.refusal(403, problem, [])
        return self.get_response(request)


class LanguageMiddleware:
    """Answer in the language of the client's `Accept-Language`, or of the cookie that a person has chosen.

    Django's LocaleMiddleware looks for a language in the address too, of which there is none here. Indonesian's old
    code, `in`, is read as the present one, `id`: Java and so Android sent it until Java 17.
    https://docs.oracle.com/en/java/javase/17/docs/api/java.base/java/util/Locale.html#legacy_language_codes
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        language = language_of(request)
        translation.activate(language)
        response = self.get_response(request)
        patch_vary_headers(response, ["Accept-Language"])
        response.headers.setdefault("Content-Language", translation.get_language() or language)
        return response


class NoNulMiddleware:
    """Refuse a NUL in the query string, which PostgreSQL cannot be asked for and nobody can mean.

    The API looks at each parameter, and says which one it is.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "%00" in request.META.get("QUERY_STRING", "") and not request.path_info.startswith("/api/"):
            raise BadRequest("There is a NUL in the query string.")
        return self.get_response(request)


class SessionEndMiddleware:
    """End a session some hours after its user signed in, however busy it is. Idle ones end by their cookie's age."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.SESSION_COOKIE_NAME in request.COOKIES and SESSION_KEY in request.session:
            began_at = request.session.setdefault(BEGAN_AT, time.time())
            if time.time() - began_at > settings.SESSION_MAX_AGE:
                logout(request)
        return self.get_response(request)


class ClearSiteDataMiddleware:
    """Have the browser delete what it keeps of the admin once a session has ended: by signing out, by its age, or by
    another session of the user. In the last case the session's cookie opens nothing any more.

    Cookies are not cleared: the header would delete those of the whole domain, other applications' included. The
    session's own cookie is deleted by Django, and the session itself in the database.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        has_cookie = settings.SESSION_COOKIE_NAME in request.COOKIES
        was_signed_in = has_cookie and SESSION_KEY in request.session
        response = self.get_response(request)
        has_ended = was_signed_in or (has_cookie and request.session.is_empty())
        if has_ended and SESSION_KEY not in request.session:
            response["Clear-Site-Data"] = '"cache", "storage"'
        return response


class ContentSecurityPolicyMiddleware:
    """Tell the browser that pages load nothing from elsewhere and run no script that stands in the page itself.

    The admin's library is built on Alpine, which makes functions of the text of attributes: it needs `unsafe-eval`,
    and gets it there and nowhere else. Its colours are a style element, so styles may stand in the page.
    https://alpinejs.dev/advanced/csp
    """

    PAGES = (
        "default-src 'self'; script-src 'self'{eval}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    ADMIN = PAGES.format(eval=" 'unsafe-eval'")
    OTHER = PAGES.format(eval="")

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")  # also where SecurityMiddleware has failed
        response["Content-Security-Policy"] = self.ADMIN if request.path_info.startswith("/admin/") else self.OTHER
        return response
