import sys
from contextlib import nullcontext
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import models

from devices.audit import audit_log, export
from devices.audit.audit_log import Action
from devices.management.base import argument, find_key, find_user, read_day
from devices.models import Device, Hospital
from devices.values.hospital_names import fold_name


class Command(BaseCommand):
    help = (
        "Write all that is on record about one person, device, key or hospital, in order of time, with the values "
        "before and after: the history of devices, hospitals and keys, and the audit's events. What people sign in "
        "with is in it, and no secret. That it was exported is put on record too."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        about = parser.add_mutually_exclusive_group(required=True)
        for option, metavar, find, description in (
            ("--user", "USERNAME", find_user, "what this person did, and what was done about them"),
            ("--device", "ID", _find_device, "also one that was taken out"),
            ("--key", "ID", find_key, "the key's number in list_api_keys"),
            ("--hospital", "NAME", _find_hospital, "its devices, keys and admins, merged ones included"),
        ):
            about.add_argument(option, dest="about", metavar=metavar, type=find, help=description)
        parser.add_argument("--since", metavar="YYYY-MM-DD", type=argument(read_day), help="the first day")
        parser.add_argument("--until", metavar="YYYY-MM-DD", type=argument(read_day), help="the last day")
        parser.add_argument("--format", choices=export.FORMATS, default="jsonl", help="default: a JSON object a line")
        parser.add_argument("--out", metavar="FILE", default="-", help="default: stdout")

    def handle(self, *args: Any, about: models.Model, out: str, since: Any, until: Any, **options: Any) -> None:
        count = 0
        try:
            file: Any = nullcontext(sys.stdout.buffer) if out == "-" else open(out, "wb")  # noqa: PTH123, SIM115
            with file as stream:
                for line in export.export_of(about).lines(options["format"], since, until):
                    stream.write(line)
                    count += line is not export.CSV_HEADER
        except OSError as error:
            raise CommandError(f"{out} cannot be written: {error.strerror}.") from error
        audit_log.record(Action.EXPORTED, obj=about, entries=count, format=options["format"])
        self.stderr.write(f"{count} entries exported.")


@argument
def _find_device(number: str) -> Device:
    if not Device.history.filter(id=int(number)).exists():
        raise ValidationError(f"There never was a device {number}.")
    return Device(pk=int(number))


@argument
def _find_hospital(name: str) -> Hospital:
    hospital = Hospital.objects.by_name([fold_name(name)]).get(fold_name(name))
    if hospital is None:
        raise ValidationError(f"There is no hospital {name}.")
    return hospital
