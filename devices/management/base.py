"""What the commands for API keys and users share."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import date
from functools import wraps
from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from devices.accounts.api_keys import IssuedKey
from devices.models import ApiKey
from devices.values.errors import ValidationFailed

Value = TypeVar("Value")


def argument(read: Callable[[str], Value]) -> Callable[[str], Value]:
    """Return `read` as the type of an argument: argparse names the argument when it reports a ValidationError."""

    @wraps(read)
    def read_argument(text: str) -> Value:
        try:
            return read(text)
        except ValidationError as error:
            raise ArgumentTypeError(error.messages[0]) from error

    return read_argument


@argument
def find_key(number: str) -> ApiKey:
    key = ApiKey.objects.filter(pk=int(number)).first()
    if key is None:
        raise ValidationError(f"There is no key {number}. list_api_keys tells which there are.")
    return key


def read_day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.max
    if day.year == date.max.year:  # it has a day without a next one
        raise ValidationError("This must be a day such as 2027-12-31.")
    return day


@argument
def find_user(username: str) -> User:
    user = User.objects.filter(username=username).first()
    if user is None:
        raise ValidationError(f"There is no user {username}.")
    return user


class RegistryCommand(BaseCommand):
    """A command that reports what the registry refuses as an error of one line."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except ValidationFailed as refused:
            raise CommandError(str(refused.problems[0].message)) from refused
        except ValidationError as error:
            raise CommandError(error.messages[0]) from error

    def print_once(self, issued: IssuedKey, more: str = "") -> None:
        """Print the key alone on stdout, and all else on stderr."""
        self.stderr.write(f"Key {issued.key.pk} issued for {issued.key}{more}. It is shown this once:")
        self.stdout.write(issued.text)
