import sys
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import date
from typing import Any, BinaryIO

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import models

from devices import audit, trails
from devices.audit import What
from devices.drafts import fold
from devices.management.base import find_key
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
        parser.add_argument("--since", metavar="YYYY-MM-DD", help="the first day")
        parser.add_argument("--until", metavar="YYYY-MM-DD", help="the last day")
        parser.add_argument("--format", choices=trails.FORMATS, default="jsonl", help="default: a JSON object a line")
        parser.add_argument("--out", metavar="FILE", default="-", help="default: stdout")

    def handle(self, *args: Any, out: str, format: str, **options: Any) -> None:  # noqa: A002
        about = _find(options)
        lines = trails.of(about).lines(format, _day("--since", options["since"]), _day("--until", options["until"]))
        try:
            file: Any = nullcontext(sys.stdout.buffer) if out == "-" else open(out, "wb")  # noqa: PTH123, SIM115
            with file as stream:
                count = _write(stream, lines)
        except OSError as error:
            raise CommandError(f"{out} cannot be written: {error.strerror}.") from error
        audit.note(What.EXPORTED, about=about, entries=count, format=format)
        self.stderr.write(f"{count} entries exported.")


def _find(options: dict[str, Any]) -> models.Model:
    if name := options["person"]:
        user = User.objects.filter(username=name).first()
        if user is None:
            raise CommandError(f"Nobody signs in as {name}.")
        return user
    if name := options["hospital"]:
        hospital = Hospital.objects.called([fold(name)]).get(fold(name))
        if hospital is None:
            raise CommandError(f"There is no hospital {name}.")
        return hospital
    if options["key"] is not None:
        return find_key(options["key"])
    if not Device.history.filter(id=options["device"]).exists():
        raise CommandError(f"There never was a device {options['device']}.")
    return Device(pk=options["device"])


def _day(option: str, text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{option} must be a day such as 2026-12-31.") from error


def _write(stream: BinaryIO, lines: Iterator[bytes]) -> int:
    count = 0
    for line in lines:
        stream.write(line)
        count += line is not trails.HEADINGS
    return count
