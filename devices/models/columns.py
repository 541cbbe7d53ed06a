"""What columns of many tables have in common: the largest id, and how precise an instant is."""

from datetime import datetime

from django.utils import timezone

MAX_ID = 2**63 - 1


def now() -> datetime:
    """Return the present to the millisecond: as precisely as the API tells it, so that no client can tell apart
    what it cannot see."""
    instant = timezone.now()
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)
