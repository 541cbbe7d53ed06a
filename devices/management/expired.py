"""Find the rows that have expired and can be deleted."""

from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from devices.imports import preview
from devices.models import IdempotencyRecord, ImportPreview, Session
from devices.models.idempotency import RESPONSE_LIFETIME
from devices.ratelimit import stores


def expired() -> dict[str, QuerySet[Any]]:
    """Return the expired rows by what they are. History and audit log are not among them.

    axes counts failed sign-ins in `AccessAttempt`. Its logs have rows of former versions only: the audit log records
    all sign-ins.
    """
    now = timezone.now()
    return {
        "stored responses": IdempotencyRecord.objects.filter(created_at__lte=now - RESPONSE_LIFETIME),
        "rate-limit counters": stores.expired_windows(now.timestamp()),
        "expired sessions": Session.objects.filter(expire_date__lt=now),
        "failed sign-ins": AccessAttempt.objects.filter(attempt_time__lt=now - settings.AXES_COOLOFF_TIME),
        "sign-ins logged by axes": AccessLog.objects.all(),
        "failed sign-ins logged by axes": AccessFailureLog.objects.all(),
        "import previews": ImportPreview.objects.filter(created_at__lt=now - preview.LIFETIME),
    }
