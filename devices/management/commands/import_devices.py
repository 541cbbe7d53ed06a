import shutil
import sys
import tempfile
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from tqdm import tqdm

from devices import delimited, fleets, spreadsheets
from devices.headings import Unreadable
from devices.origin import IMPORT
from devices.problems import Problem, Refused
from devices.spreadsheets import Sheet


class Command(BaseCommand):
    help = (
        "Register and update devices from a CSV or XLSX file: all of its lines or none. A line whose id or else whose "
        "MAC is known changes that device, any other registers a new one. The headings are device_name, device_mac, "
        "device_type, device_holder, and id as an export gives it; or ID, MAC, TYPE, HOLDER. An empty holder is left "
        "as it is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="the path of a CSV or an XLSX; - for stdin")
        parser.add_argument("--dry-run", action="store_true", help="tell what would happen, and write nothing")

    def handle(self, *args: Any, file: str, dry_run: bool, **options: Any) -> None:
        try:
            outcome = self._import(file, dry_run)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        except Unreadable as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(f"Nothing was imported: the database failed. {error}") from error
        except Refused as refused:
            self._tell(refused.problems)
            wrong = len({problem.index for problem in refused.problems})
            raise CommandError(f"Nothing was imported: {wrong} lines are wrong.") from refused
        self.stdout.write(
            f"{'Would be: ' if dry_run else ''}{outcome.registered} registered, {outcome.changed} changed, "
            f"{outcome.unchanged} unchanged."
        )

    def _import(self, file: str, dry_run: bool) -> fleets.Outcome:
        if file == "-":
            with tempfile.TemporaryFile() as copy:  # what a file is, is found out by looking into it first
                shutil.copyfileobj(sys.stdin.buffer, copy)
                return self._import_from(copy, dry_run)
        with open(file, "rb") as stream:  # noqa: PTH123  (the name comes from the command line)
            return self._import_from(stream, dry_run)

    def _import_from(self, stream: BinaryIO, dry_run: bool) -> fleets.Outcome:
        with (
            spreadsheets.reading(stream) as sheet,
            tqdm(unit=" lines", unit_scale=True, disable=None) as bar,
        ):
            self._tell_of(sheet)
            return fleets.import_fleet(sheet.rows, IMPORT, dry_run=dry_run, progress=bar.update)

    def _tell_of(self, sheet: Sheet) -> None:
        if sheet.passed_over:
            self.stderr.write(f"Columns passed over: {', '.join(sheet.passed_over)}.")
        if sheet.encoding == delimited.WINDOWS:
            self.stderr.write("The file is not in UTF-8; it was read as Windows-1252.")

    def _tell(self, problems: list[Problem]) -> None:
        for problem in sorted(problems, key=lambda problem: problem.index or 0):
            self.stderr.write(f"line {problem.index}: {problem.field}: {problem.message}")
