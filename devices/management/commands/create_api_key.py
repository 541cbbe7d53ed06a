import argparse
import sys
from datetime import date, datetime, time, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from devices import credentials, hospitals, rates
from devices.drafts import clean_holder, clean_text, fold
from devices.models import ApiKey, Hospital
from devices.origin import COMMAND


class Command(BaseCommand):
    help = (
        "Issue an API key for a client application. The key alone is printed on stdout, this once; all else goes to "
        "stderr, so that KEY=$(python manage.py create_api_key NAME) works. With --value, a key that is in the field "
        "already is taken over instead, and not printed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the client application that the key is for")
        parser.add_argument("--read-only", action="store_true", help="the key may not write")
        parser.add_argument("--hospital", metavar="NAME", help="the key reaches this hospital's devices only")
        parser.add_argument(
            "--naming", choices=ApiKey.Naming.values, default=ApiKey.Naming.SNAKE_CASE, help="how it spells the fields"
        )
        parser.add_argument("--expires", metavar="YYYY-MM-DD", help="the last day on which the key works")
        parser.add_argument(
            "--rate",
            metavar="600/min",
            type=_rate,
            help="requests at most, also /s, /h, /d; unlimited; else API_RATE",
        )
        parser.add_argument(
            "--value", metavar="LEGACY_KEY", help="take over this key; - reads it from stdin, past the shell's history"
        )

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        try:
            name = clean_text(name)
        except ValidationError as error:
            raise CommandError(f"NAME: {error.messages[0]}") from error
        with transaction.atomic():
            self._create(name, options)

    def _create(self, name: str, options: dict[str, Any]) -> None:
        settings: dict[str, Any] = {
            "read_only": options["read_only"],
            "naming": options["naming"],
            "expires_at": _end_of_day(options["expires"]),
            "rate": options["rate"],
            "hospital": self._hospital(options["hospital"]),
        }
        value = options["value"]
        if value is None:
            issued = credentials.issue(name, COMMAND, **settings)
            self.stderr.write(f"Key {issued.key.pk} issued for {issued.key}. It is shown this once:")
            self.stdout.write(issued.text)
            return
        try:
            text = sys.stdin.readline().strip() if value == "-" else value
            key = credentials.take_over(text, name, COMMAND, **settings)
        except credentials.KeyRefused as error:
            raise CommandError(str(error)) from error
        self.stderr.write(f"Key {key.pk} taken over for {key}, marked as legacy: it may be guessed, so rotate it soon.")

    def _hospital(self, name: str | None) -> Hospital | None:
        if name is None:
            return None
        try:
            holder = clean_holder(name)
        except ValidationError as error:
            raise CommandError(f"--hospital: {error.messages[0]}") from error
        if holder is None:
            raise CommandError("--hospital: “unknown” means no hospital. Leave it out for a key to all devices.")
        if not Hospital.objects.called([fold(holder)]):
            self.stderr.write(f"The hospital {holder} is new, and is registered with this key.")
        [hospital] = hospitals.find_or_register([holder], COMMAND).values()
        return hospital


def _rate(text: str) -> str:
    try:
        return rates.write(rates.read(text))
    except rates.Malformed as error:
        message = f"{text!r} is no rate: write a number and /s, /min, /h or /d, such as 600/min, or unlimited."
        raise argparse.ArgumentTypeError(message) from error


def _end_of_day(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
        end = timezone.make_aware(datetime.combine(day + timedelta(days=1), time.min))
    except (ValueError, OverflowError) as error:
        raise CommandError("--expires must be a day such as 2027-12-31.") from error
    if end <= timezone.now():
        raise CommandError(f"--expires: {text} has passed.")
    return end
