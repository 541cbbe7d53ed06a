"""The middleware of the admin for sessions, sign-in and messages. API requests skip it.

API views check the key of the client themselves. Running this middleware for the API too would take 10 % of the CPU
time of a list of 20 devices, and 15 % of a detail. CSRF and axes are not here, because system checks look for their
import paths. DRF's views are exempt from CSRF.
"""

from typing import Any

from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.http import HttpRequest, HttpResponse
from django.middleware.gzip import GZipMiddleware
from django.templatetags.static import static
from django_otp import middleware as otp

from cexup import middleware
from devices.accounts import sign_in_limits
from devices.admin import sign_in, two_factor


def skipped_by_api(base: Any) -> Any:
    """Return a subclass of the middleware that does nothing for API requests."""

    class Skipped(base):
        def __call__(self, request: HttpRequest) -> HttpResponse:
            response: HttpResponse = (self.get_response if middleware.is_api(request) else super().__call__)(request)
            return response

        if hasattr(base, "process_view"):

            def process_view(self, request: HttpRequest, *view: Any) -> HttpResponse | None:
                return None if middleware.is_api(request) else super().process_view(request, *view)

    return Skipped


class HtmlMiddleware(GZipMiddleware):
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


PageMiddleware = skipped_by_api(HtmlMiddleware)
SessionMiddleware = skipped_by_api(sessions.SessionMiddleware)
ClearSiteDataMiddleware = skipped_by_api(middleware.ClearSiteDataMiddleware)
AuthenticationMiddleware = skipped_by_api(auth.AuthenticationMiddleware)
LoginRequiredMiddleware = skipped_by_api(sign_in.LoginRequiredMiddleware)
MessageMiddleware = skipped_by_api(messages.MessageMiddleware)
SessionEndMiddleware = skipped_by_api(middleware.SessionEndMiddleware)
OTPMiddleware = skipped_by_api(otp.OTPMiddleware)
TwoFactorMiddleware = skipped_by_api(two_factor.TwoFactorMiddleware)
SignInLimitMiddleware = skipped_by_api(sign_in_limits.SignInLimitMiddleware)
