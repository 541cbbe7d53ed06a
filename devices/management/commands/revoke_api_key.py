from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices import credentials
from devices.models import ApiKey
from devices.origin import COMMAND


class Command(BaseCommand):
    help = "Revoke an API key. It takes effect on the next request, in every worker process, and cannot be undone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", metavar="ID", type=int, help="the key's number in list_api_keys")

    def handle(self, *args: Any, id: int, **options: Any) -> None:  # noqa: A002
        key = find_key(id)
        if not credentials.revoke(key, COMMAND):
            raise CommandError(f"Key {id} of {key} was revoked before, at {key.revoked_at:%Y-%m-%d %H:%M} UTC.")
        self.stdout.write(f"Key {id} of {key} revoked.")


def find_key(pk: int) -> ApiKey:
    """Return the key, for the commands that take its number.

    Raises:
        CommandError: there is none.
    """
    try:
        return ApiKey.objects.get(pk=pk)
    except (ApiKey.DoesNotExist, OverflowError) as error:
        raise CommandError(f"There is no key {pk}. list_api_keys tells which there are.") from error
