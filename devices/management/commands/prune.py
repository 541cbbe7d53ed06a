import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices import audit, counters, pruning


class Command(BaseCommand):
    help = (
        "Remove what is no longer needed: answers kept for an Idempotency-Key longer than a day ago, counts of "
        "requests in windows that are over, expired sessions, failed sign-ins that no longer count towards a lock, "
        "files that nobody has imported, events of the audit that are past their time (AUDIT_YEARS), and, only where "
        "--changes is given, changes of devices older than that which later ones have overtaken. The last change of "
        "each device is kept. Run it daily."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--changes",
            metavar="DAYS",
            type=int,
            help="remove overtaken changes older than this, from the history too; not less than AUDIT_YEARS. Followers "
            "who are further behind have to begin again",
        )
        parser.add_argument("--dry-run", action="store_true", help="report how much it would be, and write nothing")

    def handle(self, *args: Any, changes: int | None, dry_run: bool, **options: Any) -> None:
        if changes is not None and changes < 1:
            raise CommandError("--changes must be at least 1 day.")
        would = "Would be: " if dry_run else ""
        if not dry_run:
            counters.remove_past_windows(time.time())
            audit.raise_retention()
        for what, rows in pruning.expired().items():
            self.stdout.write(f"{would}{rows.count()} {what} removed.")
            if not dry_run:
                rows.delete()
        self.stdout.write(f"{would}{pruning.events(dry_run=dry_run)} events of the audit removed.")
        if (years := audit.retention()) > settings.AUDIT_YEARS:
            self.stderr.write(f"Records are kept for {years} years, as AUDIT_YEARS said before.")
        if changes is not None:
            try:
                count = pruning.changes(timedelta(days=changes), dry_run=dry_run)
            except pruning.TooSoon as too_soon:
                raise CommandError(f"--changes is too few days: {too_soon}") from too_soon
            self.stdout.write(f"{would}{count} changes removed.")
