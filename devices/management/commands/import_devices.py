import shutil
import sys
import tempfile
from collections.abc import Collection, Sequence
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

MAX_NAMES = 20  # new hospitals that a message lists


class Command(BaseCommand):
    help = (
        "Register and update devices from a CSV or XLSX file. If a row has an error, nothing is imported. Rows are "
        "matched by id or, without an id, by MAC address. Rows without a match register new devices. The column "
        "headers are device_name, device_mac, device_type, device_holder and, in an exported file, id; or ID, MAC, "
        "TYPE, HOLDER. An empty device_holder leaves the hospital unchanged. If the file has hospitals that are not "
        "registered, you must confirm them at a terminal, or with --new-hospitals."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="CSV or XLSX file; - reads stdin")
        parser.add_argument(
            "--dry-run", action="store_true", help="check the file and report the result without writing"
        )
        parser.add_argument(
            "--new-hospitals", action="store_true", help="register the hospitals of the file that are not registered"
        )

    def handle(self, *args: Any, file: str, dry_run: bool, new_hospitals: bool, **options: Any) -> None:
        try:
            outcome = self._import(file, dry_run=dry_run, accepted=None if new_hospitals or dry_run else ())
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
        except plan.NewHospitals as found:
            raise CommandError(
                f"Nothing was imported: hospitals of the file are not registered: {_listed(found.names)}. Correct "
                "their names, or register them with --new-hospitals."
            ) from found
        prefix = "Dry run, nothing was written: " if dry_run else "Devices: "
        self.stdout.write(f"{prefix}{', '.join(f'{count} {what}' for what, count in plan.totals(outcome).items())}.")

    def _import(self, file: str, *, dry_run: bool, accepted: Collection[str] | None) -> plan.Outcome:
        """Import the file. If it has other new hospitals than `accepted` (None: any), ask a user at a terminal.

        The question comes after the transaction, because other writers of an SQLite database wait for it.
        """
        with _open(file) as stream, spreadsheet.open_sheet(stream) as sheet:
            rows = tqdm(sheet.rows, unit=" rows", unit_scale=True, disable=None)

            def may_register(names: Collection[str]) -> bool:
                if accepted is not None:
                    return set(names) <= set(accepted)
                self.stderr.write(f"New hospitals: {_listed(sorted(names))}.")
                return True

            try:
                return plan.import_devices(rows, IMPORT, dry_run=dry_run, may_register=may_register)
            except plan.NewHospitals as found:
                if file == "-" or not sys.stdin.isatty():
                    raise
                self.stderr.write(f"These hospitals are not registered: {_listed(found.names)}.")
                if input("Register them? [y/N] ").strip().casefold() not in ("y", "yes"):
                    raise
                accepted = found.names
            finally:  # the rest of a workbook is known when its rows are read
                self._describe(sheet)
        return self._import(file, dry_run=dry_run, accepted=accepted)

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


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def _open(file: str) -> BinaryIO:
    if file != "-":
        return open(file, "rb")  # noqa: PTH123  (the name comes from the command line; `handle` closes it)
    copy = tempfile.TemporaryFile()  # noqa: SIM115  (`handle` closes it; the readers need a file that can seek)
    shutil.copyfileobj(sys.stdin.buffer, copy)
    copy.seek(0)
    return copy
