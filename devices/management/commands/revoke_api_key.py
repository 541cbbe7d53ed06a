from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.management.base import find_key
from devices.models import ApiKey


class Command(BaseCommand):
    help = "Revoke an API key. The key is invalid from the next request on. A revoked key cannot be restored."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", metavar="ID", type=find_key, help="id of the key; list_api_keys shows the ids")

    def handle(self, *args: Any, key: ApiKey, **options: Any) -> None:
        if not api_keys.revoke(key, SYSTEM):
            raise CommandError(f"API key {key.pk} ({key}) was already revoked on {key.revoked_at:%Y-%m-%d %H:%M} UTC.")
        self.stdout.write(f"API key {key.pk} ({key}) was revoked.")
