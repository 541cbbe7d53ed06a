import sys
from argparse import ArgumentTypeError
from contextlib import nullcontext
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import models

from devices import audit, trails
from devices.audit import What
from devices.drafts import fold
from devices.management.base import find_key, find_user
from devices.models import Device, Hospital


class Command(BaseCommand):
    help = (
        "Write all that is on record about one person, device, key or hospital, in order of time, with the values "
        "before and after: the history of devices, hospitals and keys, and the audit's events. What people sign in "
        "with is in it, and no secret. That it was exported is put on record too."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        subject = parser.add_mutually_exclusive_group(required=True)
        subject.add_argument("--person", metavar="USERNAME", help="what this person did, and what was done about them")
        subject.add_argument("--device", metavar="ID", type=int, help="also one that was taken out")
        subject.add_argument("--key", metavar="ID", type=int, help="the key's number in list_api_keys")
        subject.add_argument("--hospital", metavar="NAME", help="its devices, keys and admins, merged ones included")
        parser.add_argument("--since", metavar="YYYY-MM-DD", type=_day, help="the first day")
        parser.add_argument("--until", metavar="YYYY-MM-DD", type=_day, help="the last day")
        parser.add_argument("--format", choices=trails.FORMATS, default="jsonl", help="default: a JSON object a line")
        parser.add_argument("--out", metavar="FILE", default="-", help="default: stdout")

    def handle(self, *args: Any, out: str, format: str, since: Any, until: Any, **options: Any) -> None:  # noqa: A002
        about = _find(options)
        count = 0
        try:
            file: Any = nullcontext(sys.stdout.buffer) if out == "-" else open(out, "wb")  # noqa: PTH123, SIM115
            with file as stream:
                for line in trails.of(about).lines(format, since, until):
                    stream.write(line)
                    count += line is not trails.HEADINGS
        except OSError as error:
            raise CommandError(f"{out} cannot be written: {error.strerror}.") from error
        audit.note(What.EXPORTED, about=about, entries=count, format=format)
        self.stderr.write(f"{count} entries exported.")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError("must be a day such as 2026-12-31") from error


def _find(options: dict[str, Any]) -> models.Model:
    if (username := options["person"]) is not None:
        return find_user(username)
    if (key := options["key"]) is not None:
        return find_key(key)
    if (name := options["hospital"]) is not None:
        hospital = Hospital.objects.called([fold(name)]).get(fold(name))
        if hospital is None:
            raise CommandError(f"There is no hospital {name}.")
        return hospital
    if not Device.history.filter(id=options["device"]).exists():
        raise CommandError(f"There never was a device {options['device']}.")
    return Device(pk=options["device"])
