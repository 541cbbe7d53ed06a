"""The largest id, and the current time as precise as the API returns it."""

from datetime import datetime

from django.utils import timezone

MAX_ID = 2**63 - 1


def now_ms() -> datetime:
    """Return the current time in whole milliseconds, so that what is stored is what a client sees."""
    instant = timezone.now()
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)
