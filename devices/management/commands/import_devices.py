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
from devices.imports.files.sheet_rows import place
from devices.values.errors import ValidationFailed


class Command(BaseCommand):
    help = (
        "Register and update devices from a CSV or XLSX file. If a row has an error, nothing is imported. Rows are "
        "matched by id or, without an id, by MAC address. Rows without a match register new devices. The column "
        "headers are device_name, device_mac, device_type, device_holder and, in an exported file, id; or ID, MAC, "
        "TYPE, HOLDER. An empty device_holder leaves the hospital unchanged."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="CSV or XLSX file; - reads stdin")
        parser.add_argument(
            "--dry-run", action="store_true", help="check the file and report the result without writing"
        )

    def handle(self, *args: Any, file: str, dry_run: bool, **options: Any) -> None:
        try:
            with _open(file) as stream, spreadsheet.open_sheet(stream) as sheet:
                rows = tqdm(sheet.rows, unit=" rows", unit_scale=True, disable=None)
                try:
                    outcome = plan.import_devices(rows, IMPORT, dry_run=dry_run)
                finally:  # the rest of a workbook is known when its rows are read
                    self._describe(sheet)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        except UnreadableFile as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(f"Nothing was imported because of a database error: {error}") from error
        except ValidationFailed as failed:
            for problem in sorted(failed.problems, key=lambda problem: problem.index or 0):
                self.stderr.write(f"{place(problem.index)}: {problem.field}: {problem.message}")
            invalid = len({problem.index for problem in failed.problems})
            raise CommandError(f"Nothing was imported: {invalid} rows have errors.") from failed
        prefix = "Dry run, nothing was written: " if dry_run else "Devices: "
        self.stdout.write(f"{prefix}{', '.join(f'{count} {what}' for what, count in plan.totals(outcome).items())}.")

    def _describe(self, sheet: spreadsheet.Sheet) -> None:
        lists = {
            "Ignored columns": sheet.ignored_columns,
            "Worksheets that were read": sheet.sheets,
            "Ignored worksheets without column headers": sheet.ignored_sheets,
            "Hidden worksheets that were not read": sheet.hidden_sheets,
            "Hidden columns that were read": sheet.hidden_columns,
        }
        for title, names in lists.items():
            if names:
                self.stderr.write(f"{title}: {', '.join(names)}.")
        if sheet.hidden_rows:
            self.stderr.write(f"Hidden rows that were read: {sheet.hidden_rows}.")
        if sheet.is_windows_1252:
            self.stderr.write("The file is not UTF-8. It was read as Windows-1252.")


def _open(file: str) -> BinaryIO:
    if file != "-":
        return open(file, "rb")  # noqa: PTH123  (the name comes from the command line; `handle` closes it)
    copy = tempfile.TemporaryFile()  # noqa: SIM115  (`handle` closes it; the readers need a file that can seek)
    shutil.copyfileobj(sys.stdin.buffer, copy)
    copy.seek(0)
    return copy
