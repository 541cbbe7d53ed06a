import re
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser

from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.management.base import RegistryCommand, argument, find_key
from devices.models import ApiKey

UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Command(RegistryCommand):
    help = (
        "Replace an API key with a new one that has the same settings. The old key stays valid during the overlap "
        "period, so that you can update the client. The new key is printed only once, on stdout."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", metavar="ID", type=find_key, help="id of the key; list_api_keys shows the ids")
        parser.add_argument(
            "--overlap",
            type=argument(_duration),
            default="24h",
            metavar="24h",
            help="time for which the old key stays valid, such as 30m, 24h or 7d; 0h ends it now (default: 24h)",
        )

    def handle(self, *args: Any, key: ApiKey, overlap: timedelta, **options: Any) -> None:
        issued = api_keys.rotate(key, SYSTEM, overlap)
        self.print_once(issued, f"; key {key.pk} stays valid until {key.expires_at:%Y-%m-%d %H:%M} UTC")


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"([0-9]{1,4})([mhd])", text)
    if not match:
        raise ValidationError(f"{text!r} is not a valid duration. Use for example 30m, 24h or 7d.")
    return timedelta(**{UNITS[match[2]]: int(match[1])})
