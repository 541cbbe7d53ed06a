"""Limit how often passwords and codes are checked, before any of them is (docs/security.md).

A password costs about half a second of a core to check.

- SIGN_IN_RATE limits each network: an IPv4 address or an IPv6 /64; an IPv6 /48 may send four times as many.
- SIGN_IN_RATE_ALL limits failed sign-ins whose password was hashed, of all networks together from which no user signed
  in within 30 days. So an attack from many addresses keeps no user out of a network in use.
- 20 failed sign-ins of a network within 15 minutes stop its sign-ins. A browser in which the user signed in before has
  a count of its own, by a signed cookie: a guest in a hospital's network does not lock out its admins. The cookie signs
  nobody in, and helps only the user that it names.
  https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies

The response over a limit is 429, and 503 if password_hashing.py is busy. If the counter fails, each process counts
alone.
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
from devices.values.rates import Limit, Rate

FAILURES = Rate(20, "15min")  # of one network
COOKIE_FAILURES = Rate(10, "15min")  # of one cookie
COOKIE_AGE = timedelta(days=90)
COOKIE_SALT = "devices.device_cookies"  # another one would end the cookies that browsers have
WIDE = 4  # times as much for a /48, which may be a whole hospital or the customers of a mobile carrier
SIGN_IN = "admin:login"
LIMITED = {SIGN_IN, "change_password", "set_password", "two_factor", "two_factor_settings"}  # view names


class TooManyAttempts(Exception):
    """Too many attempts were made. Retry in `seconds`."""

    def __init__(self, seconds: int) -> None:
        self.seconds, self.minutes = seconds, math.ceil(seconds / 60)
        super().__init__(f"Retry in {seconds} seconds.")


class SignInLimitMiddleware:
    """Count each request that checks a password or a code: after the CSRF check, so that no other site can send any."""

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
        """Return 429 without the admin's frame, which takes ten times as long: an attack has it rendered often."""
        if isinstance(exception, HashingBusy):
            return HttpResponse(
                render_to_string("503_hashing.html"), status=503, headers={"Retry-After": str(HashingBusy.wait)}
            )
        if not isinstance(exception, TooManyAttempts):
            return None
        denials.record_denial(request, Action.SIGN_IN_LIMITED)
        request.denial_recorded = True  # type: ignore[attr-defined]
        page = loader.get_template("429.html").render({"minutes": exception.minutes})
        return HttpResponse(page, status=429, headers={"Retry-After": str(exception.seconds)})


class NewNetworkLimit:
    """An authentication backend that limits the hashes of new networks; it signs nobody in.

    It stands between axes, which refuses locked users, and the backend that hashes. The form is valid then, too.
    """

    def authenticate(self, request: HttpRequest, username: str, password: str) -> None:
        """Refuse the sign-in if its network is new here and the limit is exceeded; `count_failure` counts it.

        Raises:
            TooManyAttempts: the password was not checked.
        """
        limits = _limits_of_new_networks(request)
        network = client_network(request)
        if limits and not audit_log.was_done_from(network, Action.SIGNED_IN):
            raise_if_used_up(limits)
            request.hash_limits = limits  # type: ignore[attr-defined]


def locked_out(request: HttpRequest, response: HttpResponse | None = None, credentials: Any = None) -> HttpResponse:
    """Respond to the sign-in of a user whom axes has locked (AXES_LOCKOUT_CALLABLE)."""
    minutes = int(settings.AXES_COOLOFF_TIME.total_seconds() // 60)
    context = {**admin.site.each_context(request), "title": _("Too many failed sign-ins"), "minutes": minutes}
    return render(request, "admin/locked_out.html", context, status=429)


def check(request: HttpRequest) -> None:
    """Count a request that checks a password or a code. A network that is over its limit is refused without a query.

    Raises:
        TooManyAttempts: nothing was checked.
    """
    limits = rates.by_network("sign-in", rates.parse_rate(settings.SIGN_IN_RATE), client_networks(request), WIDE)
    raise_if_used_up(limits)
    if _view_name(request) == SIGN_IN:
        raise_if_used_up(_failure_limits(request))
    for limit in limits:
        decision = limiter().acquire(*limit, strict=True)
        if not decision.admitted:
            raise TooManyAttempts(decision.ends_in)


def count(limits: Iterable[Limit]) -> None:
    """Count an attempt that has failed."""
    for limit in limits:
        limiter().acquire(*limit, strict=True)


def count_failure(request: HttpRequest) -> None:
    """Count a wrong password: against the network that it came from, or the cookie of its user."""
    count(_failure_limits(request))


def raise_if_used_up(limits: Iterable[Limit]) -> None:
    """Refuse what this process knows to be used up; count nothing.

    A process learns it from an attempt of its own: each may let one more attempt through than the limit says.

    Raises:
        TooManyAttempts: one of the limits is used up.
    """
    for limit in limits:
        if refusal := limiter().peek_exhausted(*limit):
            raise TooManyAttempts(refusal.ends_in)


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
    sites = [(f"sign-in:new:{site}", settings.SIGN_IN_RATE) for site in client_networks(request)[1:]]
    named = [*sites, ("sign-in:new-networks", settings.SIGN_IN_RATE_ALL)]
    return [(name, rate) for name, text in named if (rate := rates.parse_rate(text))]


def _set_cookie(response: HttpResponse, user_id: int) -> None:
    """Let the browser keep that this user signed in. The random part tells its cookies apart."""
    response.set_signed_cookie(
        settings.DEVICE_COOKIE_NAME,
        f"{user_id}:{secrets.token_urlsafe(16)}",
        salt=COOKIE_SALT,
        max_age=COOKIE_AGE,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
