"""The causes of responses with status 503. A response has its cause as an attribute, for the metrics."""

from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")


class OutageCause(StrEnum):
    CONNECTION = "connection"  # the database is not reachable, or has closed the connection
    STATEMENT_TIMEOUT = "statement_timeout"
    LOCK = "lock"  # another writer has held a lock for too long
    READ_ONLY = "read_only"
    FULL = "full"  # the disk of the database is full
    PASSWORDS = "passwords"  # too many passwords are being checked
    OTHER = "other"


def with_cause(response: T, cause: OutageCause) -> T:
    """Set the cause of a response, and return the response."""
    response.outage_cause = cause  # type: ignore[attr-defined]
    return response


def cause_of(response: object) -> OutageCause:
    """Return the cause of a response with status 503."""
    return getattr(response, "outage_cause", OutageCause.OTHER)
