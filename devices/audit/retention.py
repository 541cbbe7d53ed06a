"""How long records are kept, and how they are removed after it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, Max, Min, OuterRef, QuerySet

from devices.audit import audit_log
from devices.audit.audit_log import Action
from devices.db import queries
from devices.db.transactions import atomic_with_retry
from devices.db.triggers import append_only
from devices.history import feed
from devices.models import AuditEvent, AuditRetention, ChangeFeed

ROWS_AT_ONCE = 5_000  # so that no request waits for long


def prune_changes(before: datetime, *, dry_run: bool = False) -> int:
    """Remove changes of devices from before this instant that later ones from then have replaced; return how many.

    1. Find the last such change that is settled: up to there is pruned.
    2. Save its id first: then a client of the change feed that is not that far has to begin again before a change is
       missing.
    3. Remove what was replaced up to there. The last change of each device there remains, so a client that begins again
       receives each device, and a removed device can still be restored.

    The database refuses it within the retention of records.
    """
    old = feed.Change.objects.filter(history_date__lt=before, history_id__lte=feed.stable_watermark())
    end = old.aggregate(last=Max("history_id"))["last"]
    if end is None:
        return 0
    later = feed.Change.objects.filter(id=OuterRef("id"), history_id__gt=OuterRef("history_id"), history_id__lte=end)
    replaced = feed.Change.objects.filter(Exists(later), history_id__lte=end)
    count = int(replaced.count())
    if count and not dry_run:
        audit_log.record(Action.PRUNED, changes=count, before=before.isoformat())
        feed.state()
        ChangeFeed.objects.filter(pruned_to__lt=end).update(pruned_to=end)
        _remove(replaced, before)
    return count


def prune_events(*, dry_run: bool = False) -> int:
    """Remove the audit events past their retention; return how many. Events of pruning itself are kept for good."""
    before = retention_cutoff()
    old = AuditEvent.objects.filter(created_at__lt=before).exclude(
        action__in=[Action.PRUNED, Action.RETENTION_EXTENDED]
    )
    count = old.count()
    if count and not dry_run:
        audit_log.record(Action.PRUNED, events=count, before=before.isoformat())
        _remove(old, before)
    return count


def _remove(rows: QuerySet[Any], before: datetime) -> None:
    ends = rows.aggregate(first=Min("pk"), last=Max("pk"))
    for low in range(ends["first"], ends["last"] + 1, ROWS_AT_ONCE):
        _remove_batch(rows.filter(pk__range=(low, low + ROWS_AT_ONCE - 1)), before)


@atomic_with_retry
def _remove_batch(rows: QuerySet[Any], before: datetime) -> None:
    with allow_pruning(before):
        rows.delete()


def extend_retention() -> None:
    """Keep records for AUDIT_YEARS from now on, if that is longer than before."""
    kept = AuditRetention.objects.get()
    if kept.years < settings.AUDIT_YEARS:
        with transaction.atomic():
            AuditRetention.objects.update(years=settings.AUDIT_YEARS)
            audit_log.record(Action.RETENTION_EXTENDED, before=kept.years, after=settings.AUDIT_YEARS)


def retention_years() -> int:
    """Return for how many years records are kept, or will be once AUDIT_YEARS has raised it."""
    return max(AuditRetention.objects.get().years, settings.AUDIT_YEARS)


def retention_cutoff() -> datetime:
    """Return the instant before which records may be removed, by the clock of the database."""
    kept = f"(SELECT {retention_years():d} AS years) AS kept"
    [instant] = queries.fetch_one(f"SELECT {append_only.RETENTION_CUTOFF[connection.vendor]} FROM {kept}")  # noqa: S608
    return instant if isinstance(instant, datetime) else datetime.fromisoformat(instant).replace(tzinfo=UTC)


@contextmanager
def allow_pruning(before: datetime) -> Iterator[None]:
    """Let records from before this instant be removed within the block, if they are past their retention."""
    with transaction.atomic():
        AuditRetention.objects.update(pruning_before=before)
        yield
        AuditRetention.objects.update(pruning_before=None)
