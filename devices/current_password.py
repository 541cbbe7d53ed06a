"""Check the password of a signed-in user, to change it or to confirm an action.

A stolen session must not be enough to guess the password, nor lock out its owner's other sessions. So each session may
send five wrong passwords within 15 minutes.
"""

from typing import Any

from django.contrib.auth.hashers import check_password
from django.http import HttpRequest

from devices import denials, sign_in_limits
from devices.audit import What
from devices.counters import leases
from devices.rates import Rate
from devices.session_store import hashed

WRONG = Rate(5, "15min")  # of one session


def is_current_password(request: HttpRequest, password: str) -> bool:
    """Return whether this is the password of the signed-in user; if not, count and record it.

    Raises:
        TooManyAttempts: this session sent too many wrong passwords. The password was not checked.
        HashingBusy: this process is checking another password. This one was not checked.
    """
    name = f"password:{hashed(request.session.session_key or '')[:40]}"  # the counters must not contain the key itself
    sign_in_limits.raise_if_used_up([(name, WRONG)])
    user: Any = request.user
    if check_password(password, user.password):  # not user.check_password: a hash that it renews ends the session
        return True
    leases().take(name, WRONG, strict=True)
    sign_in_limits.count_failure(request)
    denials.note(request, What.PASSWORD_REFUSED, about=user)
    return False
