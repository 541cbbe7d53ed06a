"""Remove what is no longer needed."""

from datetime import timedelta
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from devices.imports import preview
from devices.models import IdempotencyRecord, ImportPreview, Session
from devices.ratelimit import stores

ANSWERS_KEPT = timedelta(hours=24)


def expired() -> dict[str, QuerySet[Any]]:
    """Return the rows that have expired, and are no records, by name.

    axes keeps failed sign-ins for its lock. Its logs get no rows any more: the audit log has all sign-ins.
    """
    now = timezone.now()
    return {
        "kept answers": IdempotencyRecord.objects.filter(created_at__lte=now - ANSWERS_KEPT),
        "counts of requests": stores.past_windows(now.timestamp()),
        "expired sessions": Session.objects.filter(expire_date__lt=now),
        "failed sign-ins": AccessAttempt.objects.filter(attempt_time__lt=now - settings.AXES_COOLOFF_TIME),
        "rows of the old list of sign-ins": AccessLog.objects.all(),
        "rows of the old list of failed sign-ins": AccessFailureLog.objects.all(),
        "files chosen for an import": ImportPreview.objects.filter(created_at__lt=now - preview.LIFETIME),
    }
