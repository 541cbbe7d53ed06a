from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.management.base import find_key
from devices.models import ApiKey


class Command(BaseCommand):
    help = "Revoke an API key. It takes effect on the next request, in every worker process, and cannot be undone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", metavar="ID", type=find_key, help="the key's number in list_api_keys")

    def handle(self, *args: Any, key: ApiKey, **options: Any) -> None:
        if not api_keys.revoke(key, SYSTEM):
            raise CommandError(f"Key {key.pk} of {key} was revoked before, at {key.revoked_at:%Y-%m-%d %H:%M} UTC.")
        self.stdout.write(f"Key {key.pk} of {key} revoked.")
