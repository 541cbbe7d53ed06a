import shutil
import sys
import tempfile
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from tqdm import tqdm

from devices.access.actor import IMPORT
from devices.imports import plan
from devices.imports.files import spreadsheet
from devices.imports.files.header import UnreadableFile
from devices.values.errors import ValidationFailed


class Command(BaseCommand):
    help = (
        "Register and update devices from a CSV or XLSX file: all of its lines or none. A line whose id or else whose "
        "MAC is known changes that device, any other registers a new one. The headings are device_name, device_mac, "
        "device_type, device_holder, and id as an export gives it; or ID, MAC, TYPE, HOLDER. An empty holder is left "
        "as it is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="the path of a CSV or an XLSX; - for stdin")
        parser.add_argument("--dry-run", action="store_true", help="say what would happen, and write nothing")

    def handle(self, *args: Any, file: str, dry_run: bool, **options: Any) -> None:
        try:
            with _open(file) as stream, spreadsheet.open_sheet(stream) as sheet:
                if sheet.ignored_columns:
                    self.stderr.write(f"Columns passed over: {', '.join(sheet.ignored_columns)}.")
                if sheet.is_windows_1252:
                    self.stderr.write("The file is not in UTF-8; it was read as Windows-1252.")
                rows = tqdm(sheet.rows, unit=" lines", unit_scale=True, disable=None)
                outcome = plan.import_devices(rows, IMPORT, dry_run=dry_run)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        except UnreadableFile as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(f"Nothing was imported: the database failed. {error}") from error
        except ValidationFailed as refused:
            for problem in sorted(refused.problems, key=lambda problem: problem.index or 0):
                self.stderr.write(f"line {problem.index}: {problem.field}: {problem.message}")
            wrong = len({problem.index for problem in refused.problems})
            raise CommandError(f"Nothing was imported: {wrong} lines are wrong.") from refused
        prefix = "Would be: " if dry_run else ""
        self.stdout.write(f"{prefix}{', '.join(f'{count} {what}' for what, count in plan.totals(outcome).items())}.")


def _open(file: str) -> BinaryIO:
    if file != "-":
        return open(file, "rb")  # noqa: PTH123  (the name comes from the command line; `handle` closes it)
    copy = tempfile.TemporaryFile()  # noqa: SIM115  (closed likewise; the file must be able to seek)
    shutil.copyfileobj(sys.stdin.buffer, copy)
    copy.seek(0)
    return copy
