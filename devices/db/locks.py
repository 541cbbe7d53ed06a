"""Advisory locks of PostgreSQL. https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS"""

from hashlib import blake2b

from django.db import connection

from devices.db.queries import fetch_one

REGISTRY_LOCK = 7_316_001  # an arbitrary number

# The upper 16 bits of the locks of `try_lock`. The lower 48 bits are a digest of the name.
IDEMPOTENCY_LOCKS = 7317


def acquire_registry_lock() -> None:
    """Wait for the lock of the whole registry, and keep it until the transaction ends.

    On SQLite this does nothing, because SQLite allows only one writer at a time.
    """
    if connection.vendor == "postgresql":
        fetch_one("SELECT pg_advisory_xact_lock(%s)", [REGISTRY_LOCK])


def try_lock(name: str) -> bool:
    """Take the lock with this name until the transaction ends. Return False at once if another transaction has it.

    On SQLite the result is always True: the transaction already has the only write lock.
    """
    if connection.vendor != "postgresql":
        return True
    number = IDEMPOTENCY_LOCKS << 48 | int.from_bytes(blake2b(name.encode(), digest_size=6).digest())
    return bool(fetch_one("SELECT pg_try_advisory_xact_lock(%s)", [number])[0])
