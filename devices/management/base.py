"""What the commands for API keys and users share."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices.credentials import Issued
from devices.models import ApiKey
from devices.problems import Refused

Value = TypeVar("Value")


def argument(read: Callable[[str], Value]) -> Callable[[str], Value]:
    """Return `read` as the type of an argument: argparse names the argument when it reports a ValidationError."""

    def read_argument(text: str) -> Value:
        try:
            return read(text)
        except ValidationError as error:
            raise ArgumentTypeError(error.messages[0]) from error

    return read_argument


def find_key(pk: int) -> ApiKey:
    """Return the key with this id, or raise CommandError."""
    try:
        return ApiKey.objects.get(pk=pk)
    except (ApiKey.DoesNotExist, OverflowError) as error:
        raise CommandError(f"There is no key {pk}. list_api_keys tells which there are.") from error


def find_user(username: str) -> User:
    """Return the user who signs in by this name, or raise CommandError."""
    user = User.objects.filter(username=username).first()
    if user is None:
        raise CommandError(f"Nobody signs in as {username}.")
    return user


class RegistryCommand(BaseCommand):
    """A command that reports what the registry refuses as an error of one line."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except Refused as refused:
            raise CommandError(str(refused.problems[0].message)) from refused

    def add_key_argument(self, parser: CommandParser) -> None:
        parser.add_argument("id", metavar="ID", type=int, help="the key's number in list_api_keys")

    def print_once(self, issued: Issued, more: str = "") -> None:
        """Print the key alone on stdout, and all else on stderr."""
        self.stderr.write(f"Key {issued.key.pk} issued for {issued.key}{more}. It is shown this once:")
        self.stdout.write(issued.text)
