"""Check the password of the user who is signed in already: to change it, or to confirm an action.

A stolen session must not be enough to guess the password. Wrong passwords are counted per session: five within 15
minutes. So a stolen session does not make the sessions of its owner wait.
"""

import hashlib
from typing import Any

from django.contrib.auth.hashers import check_password
from django.http import HttpRequest

from devices import denials, sign_in_limits
from devices.audit import What
from devices.counters import leases
from devices.rates import Rate
from devices.sign_in_limits import TooManyAttempts

__all__ = ["TooManyAttempts", "is_current_password"]

WRONG = Rate(5, "15min")  # of one session


def is_current_password(request: HttpRequest, password: str) -> bool:
    """Return whether this is the password of the signed-in user; if not, count and record it.

    Raises:
        TooManyAttempts: this session sent too many wrong passwords. The password was not checked.
        HashingBusy: the password was not checked, as this process is checking another one.
    """
    name = _name(request)
    sign_in_limits.raise_if_used_up([(name, WRONG)])
    user: Any = request.user
    if check_password(password, user.password):  # not user.check_password: a hash that it renews ends the session
        return True
    leases().take(name, WRONG, strict=True)
    sign_in_limits.count_failure(request)
    denials.note(request, What.PASSWORD_REFUSED, about=user)
    return False


def _name(request: HttpRequest) -> str:
    """Return what this session is counted under: a digest, since its key would let a reader of the counts in."""
    return f"password:{hashlib.sha256((request.session.session_key or '').encode()).hexdigest()[:40]}"
