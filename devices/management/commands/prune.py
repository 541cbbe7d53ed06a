from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from devices.audit import retention
from devices.management import expired


class Command(BaseCommand):
    help = (
        "Remove what is no longer needed: expired responses, counts of requests, sessions, failed sign-ins and chosen "
        "files, and events of the audit log after AUDIT_YEARS. Changes of devices are removed only with --changes; the "
        "last change of each device is kept. Run it daily."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--changes",
            metavar="DAYS",
            type=int,
            help="also remove replaced changes older than this; not less than AUDIT_YEARS. Clients of the change feed "
            "that are further behind have to begin again",
        )
        parser.add_argument("--dry-run", action="store_true", help="report how much it would be, and write nothing")

    def handle(self, *args: Any, changes: int | None, dry_run: bool, **options: Any) -> None:
        years = retention.retention_years()
        before = None if changes is None else timezone.now() - timedelta(days=changes)
        if before and before > retention.retention_cutoff():
            raise CommandError(f"--changes is too few days: Records are kept for {years} years.")
        if years > settings.AUDIT_YEARS:
            self.stderr.write(f"Records are kept for {years} years, as AUDIT_YEARS said before.")
        would = "Would be: " if dry_run else ""
        if not dry_run:
            retention.extend_retention()
        for what, rows in expired.expired().items():
            self.stdout.write(f"{would}{rows.count()} {what} removed.")
            if not dry_run:
                rows.delete()
        self.stdout.write(f"{would}{retention.prune_events(dry_run=dry_run)} events of the audit removed.")
        if before:
            self.stdout.write(f"{would}{retention.prune_changes(before, dry_run=dry_run)} changes removed.")
