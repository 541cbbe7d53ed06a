"""Hash few passwords at a time, so that sign-ins cannot take the processor from the API.

All of it passes here: sign-ins with a name that exists or not, a new password, a current one (cexup/settings.py names
no other hasher).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.hashers import PBKDF2PasswordHasher

from devices import audit

AT_ONCE = 1  # hashes in a process: each keeps a core busy for about half a second

slots = threading.BoundedSemaphore(AT_ONCE)


class HashingBusy(Exception):
    """This process is hashing as many passwords as it may. Retry in `wait` seconds."""

    wait = 2


class BoundedPasswordHasher(PBKDF2PasswordHasher):
    """Django's default hasher, and so its hashes; `verify` and `harden_runtime` call `encode` too."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        """Return the hash.

        Raises:
            HashingBusy: no slot is free. Within a request only: a command waits.
        """
        with _slot():
            return str(super().encode(password, salt, iterations))


@contextmanager
def _slot() -> Iterator[None]:
    if not slots.acquire(blocking=audit.current_request.get() is None):
        raise HashingBusy
    try:
        yield
    finally:
        slots.release()
