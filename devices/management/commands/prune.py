import time
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices import counters, pruning


class Command(BaseCommand):
    help = (
        "Remove what is no longer needed: answers kept for an Idempotency-Key longer than a day ago, counts of "
        "requests in windows that are over, and, only where --changes is given, changes of devices older than that "
        "which later ones have overtaken. The last change of each device is kept. Run it daily."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--changes",
            metavar="DAYS",
            type=int,
            help="remove overtaken changes older than this, from the history too; followers who are further behind "
            "have to begin again",
        )
        parser.add_argument("--dry-run", action="store_true", help="tell how much it would be, and remove nothing")

    def handle(self, *args: Any, changes: int | None, dry_run: bool, **options: Any) -> None:
        if changes is not None and changes < 1:
            raise CommandError("--changes must be at least 1 day.")
        if not dry_run:
            counters.remove_past_windows(time.time())
        would = "Would be: " if dry_run else ""
        self.stdout.write(f"{would}{pruning.answers(dry_run=dry_run)} kept answers removed.")
        if changes is not None:
            count = pruning.changes(timedelta(days=changes), dry_run=dry_run)
            self.stdout.write(f"{would}{count} changes removed.")
