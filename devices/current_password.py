"""Checks the current password of a signed-in user."""

from typing import Any

from django.contrib.auth.hashers import check_password


class TooManyAttempts(Exception):
    """Too many wrong passwords were sent: none is checked for so many seconds."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"Retry in {seconds} seconds.")


def is_current_password(request: Any, password: str) -> bool:
    """Return whether this is the password of the request's user.

    Raises:
        TooManyAttempts: too many wrong passwords were sent.
    """
    return check_password(password, request.user.password)
