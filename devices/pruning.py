"""Remove what is no longer needed."""

from datetime import datetime, timedelta
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.db.models import Exists, Max, Min, OuterRef, QuerySet
from django.utils import timezone

from devices import audit, counters, feed, uploads
from devices.audit import What
from devices.models import AuditEvent, ChangeFeed, RememberedAnswer, Session, Upload
from devices.transactions import in_one_transaction

ANSWERS_KEPT = timedelta(hours=24)
ROWS_AT_ONCE = 5_000  # so that no request waits for long


def expired() -> dict[str, QuerySet[Any]]:
    """Return the rows that have expired, and are no records, by name.

    axes keeps failed sign-ins for its lock. Its logs get no rows any more: the audit log has all sign-ins.
    """
    now = timezone.now()
    return {
        "kept answers": RememberedAnswer.objects.filter(created_at__lte=now - ANSWERS_KEPT),
        "counts of requests": counters.past_windows(now.timestamp()),
        "expired sessions": Session.objects.filter(expire_date__lt=now),
        "failed sign-ins": AccessAttempt.objects.filter(attempt_time__lt=now - settings.AXES_COOLOFF_TIME),
        "rows of the old list of sign-ins": AccessLog.objects.all(),
        "rows of the old list of failed sign-ins": AccessFailureLog.objects.all(),
        "files chosen for an import": Upload.objects.filter(created_at__lt=now - uploads.KEPT),
    }


def changes(before: datetime, *, dry_run: bool = False) -> int:
    """Remove changes of devices from before this instant that later ones from then have replaced; return how many.

    1. Find the last such change that is settled: up to there is pruned.
    2. Save its id first: then a client of the change feed that is not that far has to begin again before a change is
       missing.
    3. Remove what was replaced up to there. The last change of each device there remains, so a client that begins again
       receives each device, and a removed device can still be restored.

    The database refuses it within the retention of records.
    """
    old = feed.Change.objects.filter(history_date__lt=before, history_id__lte=feed.settled())
    end = old.aggregate(last=Max("history_id"))["last"]
    if end is None:
        return 0
    later = feed.Change.objects.filter(id=OuterRef("id"), history_id__gt=OuterRef("history_id"), history_id__lte=end)
    replaced = feed.Change.objects.filter(Exists(later), history_id__lte=end)
    count = int(replaced.count())
    if count and not dry_run:
        audit.note(What.PRUNED, changes=count, before=before.isoformat())
        feed.state()
        ChangeFeed.objects.filter(pruned_to__lt=end).update(pruned_to=end)
        _remove(replaced, before)
    return count


def events(*, dry_run: bool = False) -> int:
    """Remove the audit events past their retention; return how many. Events of pruning itself are kept for good."""
    before = audit.kept_since()
    old = AuditEvent.objects.filter(at__lt=before).exclude(what__in=[What.PRUNED, What.RETENTION_RAISED])
    count = old.count()
    if count and not dry_run:
        audit.note(What.PRUNED, events=count, before=before.isoformat())
        _remove(old, before)
    return count


def _remove(rows: QuerySet[Any], before: datetime) -> None:
    ends = rows.aggregate(first=Min("pk"), last=Max("pk"))
    for low in range(ends["first"], ends["last"] + 1, ROWS_AT_ONCE):
        _remove_batch(rows.filter(pk__range=(low, low + ROWS_AT_ONCE - 1)), before)


@in_one_transaction
def _remove_batch(rows: QuerySet[Any], before: datetime) -> None:
    with audit.pruning(before):
        rows.delete()
