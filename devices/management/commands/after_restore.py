from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import ProgrammingError

from devices.registry import recovery

SKIPPED = 1_000_000
MOST = 10**8  # ids of users are 32-bit integers on PostgreSQL, and the command can be repeated 20 times
INSUFFICIENT_PRIVILEGE = "42501"  # https://www.postgresql.org/docs/current/errcodes-appendix.html


class Command(BaseCommand):
    help = (
        "Run this command after you have restored a backup, before you start the registry. It skips ids, so that none "
        "is given twice, ends all sessions, lets all clients of the change feed start over, and records an audit "
        "event. On PostgreSQL, run it as registry_owner. You can repeat it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--skip",
            metavar="N",
            type=int,
            default=SKIPPED,
            help=f"ids to skip: more than the number of devices that were registered after the backup ({SKIPPED:,})",
        )

    def handle(self, *args: Any, skip: int, **options: Any) -> None:
        if not 1 <= skip <= MOST:
            raise CommandError(f"--skip must be from 1 to {MOST:,}.")
        try:
            done = recovery.recover(skip)
        except ProgrammingError as error:
            if getattr(error.__cause__, "sqlstate", None) != INSUFFICIENT_PRIVILEGE:
                raise
            raise CommandError(
                "This role of the database cannot skip ids. Run the command as registry_owner."
            ) from error
        self.stdout.write(f"The next device gets an id above {done.last_id}.")
        self.stdout.write(f"{done.sessions} sessions were ended.")
        self.stdout.write("All clients of the change feed start over.")
