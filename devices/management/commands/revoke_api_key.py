from typing import Any

from django.core.management.base import CommandError, CommandParser

from devices import credentials
from devices.management.base import RegistryCommand, find_key
from devices.origin import COMMAND


class Command(RegistryCommand):
    help = "Revoke an API key. It takes effect on the next request, in every worker process, and cannot be undone."

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_key_argument(parser)

    def handle(self, *args: Any, id: int, **options: Any) -> None:  # noqa: A002
        key = find_key(id)
        if not credentials.revoke(key, COMMAND):
            raise CommandError(f"Key {id} of {key} was revoked before, at {key.revoked_at:%Y-%m-%d %H:%M} UTC.")
        self.stdout.write(f"Key {id} of {key} revoked.")
