import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from devices.audit import audit_log
from devices.audit.audit_log import Action
from devices.imports import export
from devices.imports.files import spreadsheet
from devices.imports.files.header import UnreadableFile
from devices.models import Device


class Command(BaseCommand):
    help = (
        "Export all devices to a CSV or XLSX file, in the order of their ids, with the columns that import_devices "
        "reads."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="output file, .csv or .xlsx; - writes CSV to stdout")

    def handle(self, *args: Any, file: str, **options: Any) -> None:
        rows = tqdm(export.export_rows(Device.objects.all()), unit=" devices", unit_scale=True, disable=None)
        ending = ".csv" if file == "-" else Path(file).suffix.lower()
        if ending not in spreadsheet.ENDINGS:
            raise CommandError(f"The name {file} must end in .csv or .xlsx.")
        try:
            with nullcontext(sys.stdout.buffer) if file == "-" else open(file, "wb") as stream:  # noqa: PTH123
                count = spreadsheet.write(stream, ending, rows)
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror}.") from error
        except UnreadableFile as error:
            raise CommandError(str(error)) from error
        audit_log.record(Action.EXPORTED, devices=count, format=ending)
        self.stderr.write(f"{count} devices were exported.")
