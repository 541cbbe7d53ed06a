import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from tqdm import tqdm

from devices import delimited, fleets, spreadsheets
from devices.headings import Unreadable
from devices.origin import IMPORT
from devices.problems import Refused
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
        parser.add_argument("--dry-run", action="store_true", help="say what would happen, and write nothing")

    def handle(self, *args: Any, file: str, dry_run: bool, **options: Any) -> None:
        try:
            with _opened(file) as stream, spreadsheets.reading(stream) as sheet:
                self._warn(sheet)
                with tqdm(unit=" lines", unit_scale=True, disable=None) as bar:
                    outcome = fleets.import_fleet(sheet.rows, IMPORT, dry_run=dry_run, progress=bar.update)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        except Unreadable as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(f"Nothing was imported: the database failed. {error}") from error
        except Refused as refused:
            for problem in sorted(refused.problems, key=lambda problem: problem.index or 0):
                self.stderr.write(f"line {problem.index}: {problem.field}: {problem.message}")
            wrong = len({problem.index for problem in refused.problems})
            raise CommandError(f"Nothing was imported: {wrong} lines are wrong.") from refused
        self.stdout.write(
            f"{'Would be: ' if dry_run else ''}{outcome.registered} registered, {outcome.changed} changed, "
            f"{outcome.unchanged} unchanged."
        )

    def _warn(self, sheet: Sheet) -> None:
        if sheet.passed_over:
            self.stderr.write(f"Columns passed over: {', '.join(sheet.passed_over)}.")
        if sheet.encoding == delimited.WINDOWS:
            self.stderr.write("The file is not in UTF-8; it was read as Windows-1252.")


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        with tempfile.TemporaryFile() as copy:  # the format is detected first, which needs a file that can seek
            shutil.copyfileobj(sys.stdin.buffer, copy)
            yield copy
    else:
        with open(file, "rb") as stream:  # noqa: PTH123  (the name comes from the command line)
            yield stream
