import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from devices import audit, fleets, spreadsheets
from devices.audit import What
from devices.headings import Unreadable
from devices.models import Device


class Command(BaseCommand):
    help = (
        "Write all devices to a CSV or XLSX file, in the order of their ids, in the columns that import_devices reads."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="a path that ends in .csv or .xlsx; - for CSV on stdout")

    def handle(self, *args: Any, file: str, **options: Any) -> None:
        rows = tqdm(fleets.exported(Device.objects.all()), unit=" devices", unit_scale=True, disable=None)
        ending = ".csv" if file == "-" else Path(file).suffix.lower()
        if ending not in spreadsheets.ENDINGS:
            raise CommandError(f"{file} ends neither in .csv nor in .xlsx.")
        try:
            with nullcontext(sys.stdout.buffer) if file == "-" else open(file, "wb") as stream:  # noqa: PTH123
                count = spreadsheets.write(stream, ending, rows)
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror}.") from error
        except Unreadable as error:
            raise CommandError(str(error)) from error
        audit.note(What.EXPORTED, devices=count, format=ending)
        self.stderr.write(f"{count} devices exported.")
