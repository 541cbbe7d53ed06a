"""Recognize a browser in which a user has signed in before, by a signed cookie.

So a guest in a hospital's network, who uses up its failed sign-ins, does not lock out its admins: their browsers have a
count of their own. The cookie signs nobody in, and helps only the user that it names.
https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies
"""

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse

from devices.people import login_name
from devices.rates import Rate

FAILURES = Rate(10, "15min")  # of one cookie
AGE = timedelta(days=90)


def set_cookie(response: HttpResponse, user_id: int) -> None:
    """Let the browser keep that this user signed in. The random part tells its cookies apart."""
    response.set_signed_cookie(
        settings.DEVICE_COOKIE_NAME,
        f"{user_id}:{secrets.token_urlsafe(16)}",
        salt=__name__,
        max_age=AGE,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def count_name(request: HttpRequest) -> str | None:
    """Return what failures of this sign-in are counted under; None without a cookie of the user who signs in."""
    cookie = request.get_signed_cookie(settings.DEVICE_COOKIE_NAME, default="", salt=__name__, max_age=AGE) or ""
    user_id, _colon, random_part = cookie.partition(":")
    typed = request.POST.get("username", "")
    if not random_part or not User.objects.filter(pk=user_id, username__in={typed, login_name(typed)}).exists():
        return None
    return f"device:{hashlib.sha256(random_part.encode()).hexdigest()[:40]}"
