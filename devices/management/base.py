"""Arguments and a base class that the commands share."""

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
    """Return `read` as an argument type of argparse, which reports a ValidationError with the argument's name."""

    @wraps(read)
    def read_argument(text: str) -> Value:
        try:
            return read(text)
        except ValidationError as error:
            raise ArgumentTypeError(error.messages[0]) from error

    return read_argument


@argument
def find_key(number: str) -> ApiKey:
    if not (number.isascii() and number.isdigit()):  # perhaps a key, which the error must not have
        raise ValidationError("Use the id of the key, which is a number. Run list_api_keys to see all keys.")
    key = ApiKey.objects.filter(pk=int(number)).first()
    if key is None:
        raise ValidationError(f"API key {number} does not exist. Run list_api_keys to see all keys.")
    return key


def read_day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.max
    if day.year == date.max.year:  # its last day has no next day
        raise ValidationError("Use a date such as 2027-12-31.")
    return day


@argument
def find_user(username: str) -> User:
    user = User.objects.filter(username=username).first()
    if user is None:
        raise ValidationError(f"User {username} does not exist.")
    return user


class RegistryCommand(BaseCommand):
    """A command that reports the first validation error as a CommandError: one line, without a traceback."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        # argparse drops the value of `--hospital=--` without an error: the key would be one for all hospitals.
        for name, value in options.items():
            if value == [] or (isinstance(value, list) and [] in value):
                raise CommandError(f"--{name.replace('_', '-')}: This option needs a value.")
        try:
            return super().execute(*args, **options)
        except ValidationFailed as failed:
            raise CommandError(str(failed.problems[0].message)) from failed
        except ValidationError as error:
            raise CommandError(error.messages[0]) from error

    def print_once(self, issued: IssuedKey, more: str = "") -> None:
        """Print only the key on stdout, and everything else on stderr."""
        self.stderr.write(f"API key {issued.key.pk} ({issued.key}) was issued{more}. It is shown only once:")
        self.stdout.write(issued.text)
