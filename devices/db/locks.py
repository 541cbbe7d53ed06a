"""Advisory locks of PostgreSQL."""

from hashlib import blake2b

from django.db import connection

from devices.db.queries import fetch_one

REGISTRY_LOCK = 7_316_001  # an arbitrary number


# The upper 16 bits of the advisory locks of requests with an Idempotency-Key. The lower 48 are a digest of the key.
IDEMPOTENCY_LOCKS = 7317


def acquire_registry_lock() -> None:
    """Wait for the lock of the registry, and keep it until the transaction ends. SQLite has one writer at a time."""
    if connection.vendor == "postgresql":
        fetch_one("SELECT pg_advisory_xact_lock(%s)", [REGISTRY_LOCK])


def try_lock(name: str) -> bool:
    """Take the lock of this name until the transaction ends; return whether it was free.

    On SQLite a transaction that writes has the only lock there is.
    """
    if connection.vendor != "postgresql":
        return True
    number = IDEMPOTENCY_LOCKS << 48 | int.from_bytes(blake2b(name.encode(), digest_size=6).digest())
    return bool(fetch_one("SELECT pg_try_advisory_xact_lock(%s)", [number])[0])
