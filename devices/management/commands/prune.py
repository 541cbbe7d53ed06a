from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from devices.audit import retention
from devices.management import expired


class Command(BaseCommand):
    help = (
        "Delete expired data: stored responses, rate-limit counters, sessions, failed sign-ins, import previews, and "
        "events of the audit log older than AUDIT_YEARS. Changes of devices are deleted only with --changes, and the "
        "last change of each device is kept. Run this command daily."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--changes",
            metavar="DAYS",
            type=int,
            help="also delete superseded device changes that are older than this, which cannot be less than "
            "AUDIT_YEARS. Change-feed clients with an older cursor must start again",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="report how many rows would be deleted, and write nothing"
        )

    def handle(self, *args: Any, changes: int | None, dry_run: bool, **options: Any) -> None:
        years = retention.retention_years()
        before = None if changes is None else timezone.now() - timedelta(days=changes)
        if before and before > retention.retention_cutoff():
            raise CommandError(f"--changes must not be less than {years} years: records are kept for that time.")
        if years > settings.AUDIT_YEARS:
            self.stderr.write(f"Records are kept for {years} years, the highest value that AUDIT_YEARS had.")
        prefix, verb = ("[dry run] ", "would be deleted") if dry_run else ("", "deleted")
        if not dry_run:
            retention.extend_retention()
        for what, rows in expired.expired().items():
            self.stdout.write(f"{prefix}{rows.count()} {what} {verb}.")
            if not dry_run:
                rows.delete()
        self.stdout.write(f"{prefix}{retention.prune_events(dry_run=dry_run)} audit log events {verb}.")
        if before:
            self.stdout.write(f"{prefix}{retention.prune_changes(before, dry_run=dry_run)} changes {verb}.")
        if not dry_run:
            retention.record_prune()
