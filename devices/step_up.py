"""Step-up authentication: users confirm their identity again before they change how a user signs in.

A session that was stolen or left open is not enough for that.
"""

import time

from django.http import HttpRequest

FRESH_FOR = 5 * 60  # seconds
CONFIRMED_AT = "confirmed_at"  # in the session's data: seconds since 1970 UTC


def is_fresh(request: HttpRequest) -> bool:
    """Return whether the user has given a password or a code within the last minutes, in this session."""
    age = time.time() - request.session.get(CONFIRMED_AT, 0)
    return bool(0 <= age < FRESH_FOR)


def confirmed(request: HttpRequest) -> None:
    """Keep in the session that the user has just given a password or a code."""
    request.session[CONFIRMED_AT] = time.time()
