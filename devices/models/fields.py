"""Values that several models use: the largest id, and the current time in the API's precision."""

from datetime import datetime

from django.utils import timezone

MAX_ID = 2**63 - 1


def now_ms() -> datetime:
    """Return the current time in whole milliseconds, so that the database stores exactly what the API returns."""
    now = timezone.now()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
