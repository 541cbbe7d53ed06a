"""Remove what is no longer needed, some thousand rows at a time, so that nobody waits for it."""

from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.db.models import Exists, Max, Min, OuterRef, QuerySet
from django.utils import timezone

from devices import audit, feed, uploads
from devices.audit import What
from devices.models import AuditEvent, ChangeFeed, RememberedAnswer, Upload
from devices.transactions import in_one_transaction

ANSWERS_KEPT = timedelta(hours=24)
SIGN_INS_KEPT = timedelta(days=90)  # the lists of sign-ins; the audit has the same events, for AUDIT_YEARS
ROWS_AT_ONCE = 5_000


def answers(*, dry_run: bool = False) -> int:
    """Remove the answers that nobody is given any more; return how many there were."""
    old = RememberedAnswer.objects.filter(created_at__lte=timezone.now() - ANSWERS_KEPT)
    return old.count() if dry_run else old.delete()[0]


def sessions(*, dry_run: bool = False) -> int:
    """Remove the sessions that have expired; return how many there were."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    count = int(store.get_model_class().objects.filter(expire_date__lt=timezone.now()).count())
    if not dry_run:
        store.clear_expired()
    return count


def sign_ins(*, dry_run: bool = False) -> int:
    """Remove the lists of sign-ins beyond SIGN_INS_KEPT, and failures beyond the cool-off; return how many rows.

    A failure counts towards a lockout for AXES_COOLOFF_TIME only.
    """
    now = timezone.now()
    old = [
        AccessAttempt.objects.filter(attempt_time__lt=now - settings.AXES_COOLOFF_TIME),
        AccessLog.objects.filter(attempt_time__lt=now - SIGN_INS_KEPT),
        AccessFailureLog.objects.filter(attempt_time__lt=now - SIGN_INS_KEPT),
    ]
    return sum(rows.count() if dry_run else rows.delete()[0] for rows in old)


def files(*, dry_run: bool = False) -> int:
    """Remove the files that were chosen for an import and not imported in time; return how many there were."""
    old = Upload.objects.filter(created_at__lt=timezone.now() - uploads.KEPT)
    count = old.count()
    if not dry_run:
        old.delete()  # with their lines
    return count


def changes(older_than: timedelta, *, dry_run: bool = False) -> int:
    """Remove the changes of devices of before then that later ones of before then have overtaken; return how many.

    1. Find the last change that is that old and settled: up to there is pruned.
    2. Note it first: from then on a follower who is not that far is told to begin again, before a change is missing.
    3. Remove what has been overtaken up to there. What remains of each device is its last change there, so that
       whoever begins again learns of each that there is, and a device that was taken out can still be restored.

    Raises:
        TooSoon: changes are kept for longer than that.
    """
    before = timezone.now() - older_than
    audit.check_past(before)
    old = feed.Change.objects.filter(history_date__lt=before, history_id__lte=feed.settled())
    end = old.aggregate(last=Max("history_id"))["last"]
    if end is None:
        return 0
    later = feed.Change.objects.filter(id=OuterRef("id"), history_id__gt=OuterRef("history_id"), history_id__lte=end)
    overtaken = feed.Change.objects.filter(Exists(later), history_id__lte=end)
    count = int(overtaken.count())
    if dry_run or not count:
        return count
    audit.note(What.PRUNED, changes=count, before=before.isoformat())
    feed.state()
    ChangeFeed.objects.filter(pruned_to__lt=end).update(pruned_to=end)
    first = feed.Change.objects.aggregate(first=Min("history_id"))["first"]
    some = range(first, end + 1, ROWS_AT_ONCE)
    return sum(_remove(overtaken.filter(history_id__range=(low, low + ROWS_AT_ONCE - 1)), before) for low in some)


def events(*, dry_run: bool = False) -> int:
    """Remove the audit events that are past their time; return how many. That something was pruned stays for good."""
    before = audit.kept_since()
    old = AuditEvent.objects.filter(at__lt=before).exclude(what__in=[What.PRUNED, What.RETENTION_RAISED])
    count = old.count()
    if dry_run or not count:
        return count
    audit.note(What.PRUNED, events=count, before=before.isoformat())
    removed = 0
    while ids := list(old.order_by("at").values_list("pk", flat=True)[:ROWS_AT_ONCE]):
        removed += _remove(AuditEvent.objects.filter(pk__in=ids), before)
    return removed


@in_one_transaction
def _remove(rows: QuerySet[Any], before: datetime) -> int:
    with audit.pruning(before):
        count, _by_model = rows.delete()
    return int(count)
