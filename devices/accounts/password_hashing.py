"""Hash one password at a time in each process, so that sign-ins leave CPU time for the API.

All hashes are computed here, for existing and unknown users (cexup/settings.py configures no other hasher).
"""

import threading

from django.contrib.auth.hashers import PBKDF2PasswordHasher

from devices.access import current

lock = threading.Lock()  # a hash takes about half a second of a core


class HashingBusy(Exception):
    """This process is hashing another password. Retry in `wait` seconds."""

    wait = 2


class BoundedPasswordHasher(PBKDF2PasswordHasher):
    """Django's default hasher with a lock. `verify` and `harden_runtime` call `encode`, so they are locked too."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        """Return the hash.

        Raises:
            HashingBusy: another password is being hashed. Only requests raise it; a command waits.
        """
        if not lock.acquire(blocking=current.current_request.get() is None):
            raise HashingBusy
        try:
            return str(super().encode(password, salt, iterations))
        finally:
            lock.release()
