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
        "Replace an API key by a new one with the same settings. The old key stays valid during the overlap, so that "
        "the client can be changed. The new key alone is printed on stdout, once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", metavar="ID", type=find_key, help="the key's number in list_api_keys")
        parser.add_argument(
            "--overlap",
            type=argument(_duration),
            default="24h",
            metavar="24h",
            help="how long the old key stays valid: 30m, 24h or 7d; 0h ends it now (default: 24h)",
        )

    def handle(self, *args: Any, key: ApiKey, overlap: timedelta, **options: Any) -> None:
        issued = api_keys.rotate(key, SYSTEM, overlap)
        self.print_once(issued, f"; key {key.pk} works until {key.expires_at:%Y-%m-%d %H:%M} UTC")


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"([0-9]{1,4})([mhd])", text)
    if not match:
        raise ValidationError(f"{text!r} is no duration: write 30m, 24h or 7d.")
    return timedelta(**{UNITS[match[2]]: int(match[1])})
