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


SessionMiddleware = skipped_by_api(sessions.SessionMiddleware)
ClearSiteDataMiddleware = skipped_by_api(middleware.ClearSiteDataMiddleware)
AuthenticationMiddleware = skipped_by_api(auth.AuthenticationMiddleware)
LoginRequiredMiddleware = skipped_by_api(sign_in.LoginRequiredMiddleware)
MessageMiddleware = skipped_by_api(messages.MessageMiddleware)
SessionEndMiddleware = skipped_by_api(middleware.SessionEndMiddleware)
OTPMiddleware = skipped_by_api(otp.OTPMiddleware)
TwoFactorMiddleware = skipped_by_api(two_factor.TwoFactorMiddleware)
SignInLimitMiddleware = skipped_by_api(sign_in_limits.SignInLimitMiddleware)
