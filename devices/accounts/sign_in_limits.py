"""Limit how often passwords and codes are checked (docs/security.md). The limits apply before the check.

The check of a password takes about half a second of a core.

- SIGN_IN_RATE limits each network: an IPv4 address or an IPv6 /64. An IPv6 /48 has four times the limit.
- SIGN_IN_RATE_ALL limits failed sign-ins whose password was hashed, from all new networks together. A network is new if
  no user signed in from it within 30 days. So an attack from many addresses locks out no user in a network in use.
- After 20 failed sign-ins within 15 minutes, a network cannot sign in. A browser in which the user signed in before has
  a separate count, identified by a signed cookie: a guest in a hospital's network does not lock out its admins. The
  cookie does not sign in its user, and is ignored for other users.
  https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies

The response is 429 over a limit, and 503 if password_hashing.py is busy. If the shared counter fails, each process
counts separately.
"""

import hashlib
import math
import secrets
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import loader
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from devices.access.client_ip import client_network, client_networks
from devices.accounts.password_hashing import HashingBusy
from devices.accounts.users import normalize_username
from devices.audit import audit_log, denials
from devices.audit.audit_log import Action
from devices.ratelimit.stores import limiter
from devices.values import rates
from devices.values.outages import OutageCause, with_cause
from devices.values.rates import Limit, Rate

FAILURES = Rate(20, "15min")  # of one network
COOKIE_FAILURES = Rate(10, "15min")  # of one cookie
COOKIE_AGE = timedelta(days=90)
COOKIE_SALT = "devices.device_cookies"  # a different value would invalidate all cookies
WIDE = 4  # factor for a /48, which can be a whole hospital or the customers of a mobile carrier
SIGN_IN = "admin:login"
LIMITED = {SIGN_IN, "change_password", "set_password", "two_factor", "two_factor_settings"}  # view names


class TooManyAttempts(Exception):
    """A limit is reached. Retry in `seconds`."""

    def __init__(self, seconds: int) -> None:
        self.seconds, self.minutes = seconds, math.ceil(seconds / 60)
        super().__init__(f"Retry in {seconds} seconds.")


class SignInLimitMiddleware:
    """Count each request that checks a password or code. CSRF is checked first, so no other site can send one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if user_id := getattr(request, "signed_in_user_id", None):
            _set_cookie(response, user_id)
        return response

    def process_view(self, request: HttpRequest, *view: Any) -> HttpResponse | None:
        try:
            if request.method == "POST" and _view_name(request) in LIMITED:
                check(request)
        except TooManyAttempts as error:
            return self.process_exception(request, error)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return 429 without the layout of the admin, which takes ten times as long: an attack causes many of these."""
        if isinstance(exception, HashingBusy):
            headers = {"Retry-After": str(HashingBusy.wait)}
            response = HttpResponse(render_to_string("503_hashing.html"), status=503, headers=headers)
            return with_cause(response, OutageCause.PASSWORDS)
        if not isinstance(exception, TooManyAttempts):
            return None
        denials.record_denial(request, Action.SIGN_IN_LIMITED)
        request.denial_recorded = True  # type: ignore[attr-defined]
        page = loader.get_template("429.html").render(
            {"minutes": exception.minutes, "request_id": getattr(request, "request_id", "")}
        )
        return HttpResponse(page, status=429, headers={"Retry-After": str(exception.seconds)})


class NewNetworkLimit:
    """An authentication backend that limits the hashes of new networks. It never signs in a user.

    It runs after axes, which rejects locked users, and before the backend that hashes. At that point the form is valid.
    """

    def authenticate(self, request: HttpRequest, username: str, password: str) -> None:
        """Reject the sign-in if its network is new and the limit is reached. `failed_to_sign_in` counts it.

        Raises:
            TooManyAttempts: the password was not checked.
        """
        limits = _limits_of_new_networks(request)
        network = client_network(request)
        if limits and not audit_log.was_done_from(network, Action.SIGNED_IN):
            raise_if_reached(limits)
            request.hash_limits = limits  # type: ignore[attr-defined]


def locked_out(request: HttpRequest, response: HttpResponse | None = None, credentials: Any = None) -> HttpResponse:
    """Return the response for a user whom axes has locked (AXES_LOCKOUT_CALLABLE)."""
    minutes = int(settings.AXES_COOLOFF_TIME.total_seconds() // 60)
    context = {**admin.site.each_context(request), "title": _("Too many failed sign-ins"), "minutes": minutes}
    return render(request, "admin/locked_out.html", context, status=429)


def check(request: HttpRequest) -> None:
    """Count a request that checks a password or code. Reject a network over its limit without checking it.

    Raises:
        TooManyAttempts: a limit is reached, and nothing was checked.
    """
    limits = rates.by_network("sign-in", rates.parse_rate(settings.SIGN_IN_RATE), client_networks(request), WIDE)
    raise_if_reached(limits)
    if _view_name(request) == SIGN_IN:
        raise_if_reached(_failure_limits(request))
    for limit in limits:
        decision = limiter().acquire(*limit, strict=True)
        if not decision.admitted:
            raise TooManyAttempts(decision.ends_in)


def count(limits: Iterable[Limit]) -> None:
    """Count a failed attempt."""
    for limit in limits:
        limiter().acquire(*limit, strict=True)


def count_failure(request: HttpRequest) -> None:
    """Count a wrong password, by the device cookie of its user or, without a valid cookie, by its network."""
    count(_failure_limits(request))


def raise_if_reached(limits: Iterable[Limit]) -> None:
    """Raise if this process knows that one of the limits is reached. Count nothing.

    A process learns this from its own attempts, so each process can allow one more attempt than the limit.

    Raises:
        TooManyAttempts: one of the limits is reached.
    """
    for limit in limits:
        if decision := limiter().peek_exhausted(*limit):
            raise TooManyAttempts(decision.ends_in)


def _view_name(request: HttpRequest) -> str:
    return request.resolver_match.view_name if request.resolver_match else ""


def _failure_limits(request: HttpRequest) -> list[Limit]:
    cookie = request.get_signed_cookie(settings.DEVICE_COOKIE_NAME, "", salt=COOKIE_SALT, max_age=COOKIE_AGE) or ""
    user_id, _colon, random_part = cookie.partition(":")
    typed = request.POST.get("username", "")
    if random_part and User.objects.filter(pk=user_id, username__in={typed, normalize_username(typed)}).exists():
        return [(f"device:{hashlib.sha256(random_part.encode()).hexdigest()[:40]}", COOKIE_FAILURES)]
    return rates.by_network("failed-sign-in", FAILURES, client_networks(request), WIDE)


def _limits_of_new_networks(request: HttpRequest) -> list[Limit]:
    rate_by_name = {f"sign-in:new:{site}": settings.SIGN_IN_RATE for site in client_networks(request)[1:]}
    rate_by_name["sign-in:new-networks"] = settings.SIGN_IN_RATE_ALL
    return [(name, rate) for name, text in rate_by_name.items() if (rate := rates.parse_rate(text))]


def _set_cookie(response: HttpResponse, user_id: int) -> None:
    """Set the device cookie of this user. Its random part distinguishes it from other cookies of the user."""
    response.set_signed_cookie(
        settings.DEVICE_COOKIE_NAME,
        f"{user_id}:{secrets.token_urlsafe(16)}",
        salt=COOKIE_SALT,
        max_age=COOKIE_AGE,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
