"""Keep audit events and history for the retention period, and remove them afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, Max, Min, OuterRef, QuerySet
from django.utils import timezone

from devices.audit import audit_log
from devices.audit.audit_log import Action
from devices.db import queries
from devices.db.transactions import atomic_with_retry
from devices.db.triggers import append_only
from devices.history import feed
from devices.models import AuditEvent, AuditRetention, ChangeFeed

BATCH_SIZE = 5_000  # rows of a transaction: requests do not wait long for its locks


def prune_changes(before: datetime, *, dry_run: bool = False) -> int:
    """Remove superseded changes of devices from before this time, and return their number.

    1. Find the last change before this time that no open transaction can precede. Its id is the limit.
    2. Save the limit first. A change-feed client whose cursor is older must start again before any change is missing.
    3. Remove each change up to the limit that a later change of the same device, also up to the limit, supersedes. The
       last change of each device remains: a client that starts again receives every device, and a retired device can
       still be restored.

    The database rejects the removal of changes within the retention period.
    """
    old = feed.Change.objects.filter(history_date__lt=before, history_id__lte=feed.stable_watermark())
    end = old.aggregate(last=Max("history_id"))["last"]
    if end is None:
        return 0
    newer = feed.Change.objects.filter(id=OuterRef("id"), history_id__gt=OuterRef("history_id"), history_id__lte=end)
    superseded = feed.Change.objects.filter(Exists(newer), history_id__lte=end)
    count = int(superseded.count())
    if count and not dry_run:
        audit_log.record(Action.PRUNED, changes=count, before=before.isoformat())
        feed.state()
        ChangeFeed.objects.filter(pruned_to__lt=end).update(pruned_to=end)
        _remove(superseded, before)
    return count


def prune_events(*, dry_run: bool = False) -> int:
    """Remove audit events older than the retention period, except those of pruning, and return their number."""
    before = retention_cutoff()
    old = AuditEvent.objects.filter(created_at__lt=before).exclude(
        action__in=[Action.PRUNED, Action.RETENTION_EXTENDED]
    )
    count = old.count()
    if count and not dry_run:
        audit_log.record(Action.PRUNED, events=count, before=before.isoformat())
        _remove(old, before)
    return count


def record_prune() -> None:
    """Record that `prune` has succeeded now, for the metrics."""
    AuditRetention.objects.update(last_prune_at=timezone.now())


def _remove(rows: QuerySet[Any], before: datetime) -> None:
    ends = rows.aggregate(first=Min("pk"), last=Max("pk"))
    for low in range(ends["first"], ends["last"] + 1, BATCH_SIZE):
        _remove_batch(rows.filter(pk__range=(low, low + BATCH_SIZE - 1)), before)


@atomic_with_retry
def _remove_batch(rows: QuerySet[Any], before: datetime) -> None:
    with allow_pruning(before):
        rows.delete()


def extend_retention() -> None:
    """Raise the retention period to AUDIT_YEARS. A lower AUDIT_YEARS changes nothing."""
    retention = AuditRetention.objects.get()
    if retention.years < settings.AUDIT_YEARS:
        with transaction.atomic():
            AuditRetention.objects.update(years=settings.AUDIT_YEARS)
            audit_log.record(Action.RETENTION_EXTENDED, before=retention.years, after=settings.AUDIT_YEARS)


def retention_years() -> int:
    """Return the retention period in years, including a higher AUDIT_YEARS that is not applied yet."""
    return max(AuditRetention.objects.get().years, settings.AUDIT_YEARS)


def retention_cutoff() -> datetime:
    """Return the time before which records may be removed, by the clock of the database."""
    kept = f"(SELECT {retention_years():d} AS years) AS kept"
    [cutoff] = queries.fetch_one(f"SELECT {append_only.RETENTION_CUTOFF[connection.vendor]} FROM {kept}")  # noqa: S608
    return cutoff if isinstance(cutoff, datetime) else datetime.fromisoformat(cutoff).replace(tzinfo=UTC)


@contextmanager
def allow_pruning(before: datetime) -> Iterator[None]:
    """Allow the removal of records from before this time within the block, if they are older than the retention."""
    with transaction.atomic():
        AuditRetention.objects.update(pruning_before=before)
        yield
        AuditRetention.objects.update(pruning_before=None)
