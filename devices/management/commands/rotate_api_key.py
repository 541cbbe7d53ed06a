import argparse
import re
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices import credentials
from devices.management.commands.revoke_api_key import find_key
from devices.origin import COMMAND

UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Command(BaseCommand):
    help = (
        "Replace an API key by a new one with the same settings. The old one works on for the overlap, so that the "
        "client can be changed meanwhile. The new key alone is printed on stdout, this once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", metavar="ID", type=int, help="the key's number in list_api_keys")
        parser.add_argument(
            "--overlap",
            type=_duration,
            default="24h",
            metavar="24h",
            help="how long the old key works on: 30m, 24h or 7d; 0h ends it now (default: 24h)",
        )

    def handle(self, *args: Any, id: int, overlap: timedelta, **options: Any) -> None:  # noqa: A002
        key = find_key(id)
        try:
            issued = credentials.rotate(key, COMMAND, overlap)
        except credentials.KeyRefused as error:
            raise CommandError(str(error)) from error
        self.stderr.write(
            f"Key {issued.key.pk} issued for {issued.key}; key {id} works until {key.expires_at:%Y-%m-%d %H:%M} UTC. "
            "It is shown this once:"
        )
        self.stdout.write(issued.text)


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"([0-9]{1,4})([mhd])", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write 30m, 24h or 7d.")
    return timedelta(**{UNITS[match[2]]: int(match[1])})
