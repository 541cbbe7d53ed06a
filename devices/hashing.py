"""Limit how many passwords are hashed at a time, so that sign-ins leave the processor to the API.

Every hash is made here, for existing and unknown users (cexup/settings.py names no other hasher).
"""

import threading

from django.contrib.auth.hashers import PBKDF2PasswordHasher

from devices import audit

AT_ONCE = 1  # hashes in a process: each keeps a core busy for about half a second

slots = threading.BoundedSemaphore(AT_ONCE)


class HashingBusy(Exception):
    """No slot is free in this process. Retry in `wait` seconds."""

    wait = 2


class BoundedPasswordHasher(PBKDF2PasswordHasher):
    """Django's default hasher, with slots. `verify` and `harden_runtime` call `encode` too."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        """Return the hash.

        Raises:
            HashingBusy: no slot is free, in a request. A command waits for one.
        """
        if not slots.acquire(blocking=audit.current_request.get() is None):
            raise HashingBusy
        try:
            return str(super().encode(password, salt, iterations))
        finally:
            slots.release()
