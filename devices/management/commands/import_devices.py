import sys
from contextlib import closing
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from tqdm import tqdm

from devices import fleets
from devices.origin import IMPORT
from devices.problems import Problem, Refused
from devices.spreadsheets import Unreadable, ending_of, read


class Command(BaseCommand):
    help = (
        "Register and update devices from a CSV or XLSX file: all of its lines or none. A line whose MAC is known "
        "changes that device, any other registers a new one. The first line has the headings device_name, "
        "device_mac, device_type, device_holder (or ID, MAC, TYPE, HOLDER); an empty holder is left as it is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="a path that ends in .csv or .xlsx; - for CSV from stdin")
        parser.add_argument("--dry-run", action="store_true", help="tell what would happen, and write nothing")

    def handle(self, *args: Any, file: str, dry_run: bool, **options: Any) -> None:
        try:
            ending = ending_of(file)
            if file == "-":
                outcome = self._import(sys.stdin.buffer, ending, dry_run)
            else:
                with open(file, "rb") as stream:  # noqa: PTH123  (the name comes from the command line)
                    outcome = self._import(stream, ending, dry_run)
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

    def _import(self, stream: BinaryIO, ending: str, dry_run: bool) -> fleets.Outcome:
        with tqdm(unit=" lines", unit_scale=True, disable=None) as bar, closing(read(stream, ending)) as rows:
            return fleets.import_fleet(rows, IMPORT, dry_run=dry_run, progress=bar.update)

    def _tell(self, problems: list[Problem]) -> None:
        for problem in sorted(problems, key=lambda problem: problem.index or 0):
            self.stderr.write(f"line {problem.index}: {problem.field}: {problem.message}")
