"""Store an import between its preview and its confirmation.

Its lines are in the database, which all worker processes share, for an hour. Each user has one; a new file replaces it.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, BinaryIO
from uuid import UUID

import orjson
from django.db import transaction
from django.db.models import Q
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from devices import delimited, fleets, spreadsheets, sql
from devices.cells import Spoilt
from devices.deadlines import Deadline, Overdue
from devices.drafts import MAX_LENGTH
from devices.fleets import Line, Outcome
from devices.headings import Unreadable
from devices.import_turns import one_import
from devices.models import Upload, UploadedLine, now
from devices.origin import Origin
from devices.spreadsheets import Row
from devices.transactions import in_one_transaction

KEPT = timedelta(hours=1)
MOST_LINES = 60_000  # which take 300 MB
READING_SECONDS = 60  # of the processor, to read and plan a file: many times what the longest list of devices takes


class Changed(Exception):
    """The lines would do something else than the preview showed."""


def receive(file: BinaryIO, name: str, origin: Origin) -> Upload:
    """Read a file, plan its lines, and store them for the user.

    Raises:
        Busy: this process or this user has another import in progress.
        Unreadable: the file cannot be read, has too many lines, or takes too long.
    """
    with one_import(origin.user_id):
        try:
            upload, columns = _read(file, name, origin, Deadline(READING_SECONDS))
        except Overdue as error:
            raise Unreadable(_("The file takes too long to read. Save the list of devices alone, as CSV.")) from error
        with transaction.atomic():
            Upload.objects.filter(Q(user=origin.user_id) | Q(created_at__lt=now() - KEPT)).delete()
            _keep(upload, columns)
    return upload


def find(upload_id: UUID, origin: Origin) -> Upload:
    """Return the user's upload.

    Raises:
        Upload.DoesNotExist: it was imported or replaced, is too old, or another user's.
    """
    return Upload.objects.get(pk=upload_id, user=origin.user_id, created_at__gte=now() - KEPT)


def look_again(upload: Upload, origin: Origin) -> bool:
    """Plan the lines again, in the current language, and return whether the result differs.

    Raises:
        Busy: this process or this user has another import in progress.
        Upload.DoesNotExist: it was imported or replaced meanwhile.
    """
    before = upload.digest
    with one_import(origin.user_id):
        columns = _describe(upload, fleets.plan(_rows(upload), origin))
        with transaction.atomic():
            Upload.objects.select_for_update().get(pk=upload.pk)
            upload.lines.all().delete()
            _keep(upload, columns)
    return upload.digest != before


def confirm(upload_id: UUID, origin: Origin) -> Outcome:
    """Do all that the preview showed, and delete the upload; or raise and do nothing.

    Raises:
        Busy: this process or this user has another import in progress.
        Upload.DoesNotExist: as `find`.
        Changed: the lines would do something else by now.
        Refused: lines are wrong, or another client was faster.
    """
    with one_import(origin.user_id):
        return _carry_out(upload_id, origin)


def content(line: UploadedLine) -> dict[str, Any]:
    """Return what is stored of a line: `cells`, `old` and `new` values, `problems` as (field, code, text)."""
    stored: dict[str, Any] = orjson.loads(line.content)
    return stored


def _read(file: BinaryIO, name: str, origin: Origin, deadline: Deadline) -> tuple[Upload, dict[str, list[Any]]]:
    """Return the upload, and its lines by column."""
    with spreadsheets.reading(file, MOST_LINES, deadline) as sheet:
        rows = list(sheet.rows)
        notes = {
            "passed_over": [heading[:MAX_LENGTH] for heading in sheet.passed_over],
            "no_holders": not sheet.has_holders,
            "windows": sheet.encoding == delimited.WINDOWS,
        }
    if not rows:
        raise Unreadable(_("The file has headings, and no device beneath them."))
    upload = Upload(user_id=origin.user_id or 0, name=name[:MAX_LENGTH], notes=notes)
    return upload, _describe(upload, fleets.plan(deadline.during(rows), origin))


@in_one_transaction
def _carry_out(upload_id: UUID, origin: Origin) -> Outcome:
    find(upload_id, origin)
    upload = Upload.objects.select_for_update().get(pk=upload_id)
    lines = fleets.plan(_rows(upload), origin, lock=True)
    if _digest(lines, fleets.new_hospitals(lines)) != upload.digest:
        raise Changed
    outcome = fleets.carry_out(lines, origin)
    fleets.note(outcome)
    upload.delete()
    return outcome


def _describe(upload: Upload, lines: Sequence[Line]) -> dict[str, list[Any]]:
    """Set on the upload what its lines would do, and return them by column. It needs no transaction."""
    hospitals = fleets.new_hospitals(lines)
    upload.notes = {**upload.notes, "new_hospitals": hospitals}
    upload.counts = Counter(line.kind.value for line in lines)
    upload.digest = _digest(lines, hospitals)
    upload.language = get_language() or ""
    return {
        "number": [line.row.number for line in lines],
        "kind": [line.kind.value for line in lines],
        "content": [_content(line) for line in lines],
    }


def _keep(upload: Upload, columns: dict[str, list[Any]]) -> None:
    upload.save()
    for start in range(0, len(columns["number"]), fleets.LINES_AT_ONCE):
        some = {name: column[start : start + fleets.LINES_AT_ONCE] for name, column in columns.items()}
        sql.insert(UploadedLine, some, {"upload_id": upload.pk})


def _content(line: Line) -> str:
    problems = [(problem.field, problem.code, str(problem.message)) for problem in line.problems]
    read = {"cells": line.row.cells, "spoilt": line.row.spoilt}
    return orjson.dumps({**read, "old": line.old, "new": line.new, "problems": problems}).decode()


def _rows(upload: Upload) -> Iterator[Row]:
    for line in upload.lines.order_by("number").iterator():
        stored = content(line)
        spoilt = {column: Spoilt(reason) for column, reason in stored["spoilt"].items()}
        yield Row(line.number, stored["cells"], spoilt)


def _digest(lines: Sequence[Line], hospitals: Sequence[str]) -> str:
    """Return a digest of all that the preview shows, whatever the language."""
    digest = hashlib.sha256(orjson.dumps(hospitals))
    for line in lines:
        problems = [(problem.field, problem.code) for problem in line.problems]
        shown = (line.row.number, line.kind, line.device_id, line.old, line.new, problems)
        digest.update(orjson.dumps(shown))
    return digest.hexdigest()
