"""Django's `migrate`, which waits only briefly for a lock, and tries again.

A migration that waits for a long query would block all later requests that use the table. So each statement waits at
most half of DATABASE_LOCK_TIMEOUT: the requests behind it do not wait until their own limit.
"""

import time
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError, connections

from devices.db import online

ATTEMPTS = 20
PAUSE = 1.0  # seconds, in which the requests that waited continue


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        seconds = settings.DATABASE_LOCK_TIMEOUT / 2
        with online.lock_timeout(connection, seconds):
            attempts = 1 if connection.in_atomic_block else ATTEMPTS
            for attempt in range(1, attempts + 1):
                try:
                    super().handle(*args, **options)
                    return
                except OperationalError as error:
                    if not online.is_lock_error(error):
                        raise
                    if attempt == attempts:
                        message = f"Another transaction has had a lock for {attempts} attempts. Find and end it: see"
                        message += " docs/operations/upgrade.md. Then run migrate again: it continues here."
                        raise CommandError(message) from error
                self.stderr.write(f"\nAnother transaction has a lock. Attempt {attempt + 1} follows.")
                time.sleep(PAUSE)
