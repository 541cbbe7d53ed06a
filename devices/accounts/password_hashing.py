"""Hash one password at a time in each process, so that sign-ins leave the processor to the API.

Every hash is made here, for existing and unknown users (cexup/settings.py names no other hasher).
"""

import threading

from django.contrib.auth.hashers import PBKDF2PasswordHasher

from devices.access import current

lock = threading.Lock()  # a hash keeps a core busy for about half a second


class HashingBusy(Exception):
    """This process is hashing another password. Retry in `wait` seconds."""

    wait = 2


class BoundedPasswordHasher(PBKDF2PasswordHasher):
    """Django's default hasher, with a lock. `verify` and `harden_runtime` call `encode` too."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        """Return the hash.

        Raises:
            HashingBusy: another password is hashed, in a request. A command waits.
        """
        if not lock.acquire(blocking=current.current_request.get() is None):
            raise HashingBusy
        try:
            return str(super().encode(password, salt, iterations))
        finally:
            lock.release()
