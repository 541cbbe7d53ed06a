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
        "Export all records of one user, device, API key or hospital in chronological order, with the values before "
        "and after each change. The records are the history of devices, hospitals and keys, and the events of the "
        "audit log. The export contains user names and email addresses, but no secrets. The audit log records the "
        "export."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        about = parser.add_mutually_exclusive_group(required=True)
        for option, metavar, find, description in (
            ("--user", "USERNAME", find_user, "actions of this user, and changes of this user"),
            ("--device", "ID", _find_device, "a device, also a retired one"),
            ("--key", "ID", find_key, "an API key; list_api_keys shows the ids"),
            (
                "--hospital",
                "NAME",
                _find_hospital,
                "a hospital with its devices, keys and admins, and the hospitals merged into it",
            ),
        ):
            about.add_argument(option, dest="about", metavar=metavar, type=find, help=description)
        parser.add_argument("--since", metavar="YYYY-MM-DD", type=argument(read_day), help="first day")
        parser.add_argument("--until", metavar="YYYY-MM-DD", type=argument(read_day), help="last day")
        parser.add_argument(
            "--format", choices=export.FORMATS, default="jsonl", help="default: jsonl, one JSON object per line"
        )
        parser.add_argument("--out", metavar="FILE", default="-", help="output file (default: stdout)")

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
        self.stderr.write(f"{count} entries were exported.")


@argument
def _find_device(number: str) -> Device:
    if not Device.history.filter(id=int(number)).exists():
        raise ValidationError(f"Device {number} does not exist.")
    return Device(pk=int(number))


@argument
def _find_hospital(name: str) -> Hospital:
    hospital = Hospital.objects.by_name([fold_name(name)]).get(fold_name(name))
    if hospital is None:
        raise ValidationError(f"Hospital {name} does not exist.")
    return hospital
