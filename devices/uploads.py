"""Keep what somebody has chosen to import, between the page that shows what it would do and their word to do it.

The lines are kept in the database, which every worker process shares. They are their owner's alone, for an hour; each
file that is chosen takes the place of the one before.
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

from devices import fleets, spreadsheets, sql
from devices.cells import Spoilt
from devices.deadlines import Deadline, Overdue
from devices.drafts import MAX_LENGTH
from devices.fleets import Line, Outcome
from devices.import_turns import one_import
from devices.models import Upload, UploadedLine, now
from devices.origin import Origin
from devices.spreadsheets import Row, Unreadable
from devices.transactions import in_one_transaction

KEPT = timedelta(hours=1)
MOST_LINES = 60_000  # of which the memory of one request is 300 MB
# Of the processor, to read a file and find out what it would do. Five times what the longest list of devices takes; a
# proxy has given up by then.
READING_SECONDS = 60


class Changed(Exception):
    """The registry is no longer what it was when the lines were shown: they would do something else."""


def receive(file: BinaryIO, name: str, origin: Origin) -> Upload:
    """Read a file, find out what its lines would do, and keep that for the person whom the origin names.

    Raises:
        Busy: this process or this person is at another import.
        Unreadable: it is none of ours, too long, or takes too long.
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
    """Return what this person has chosen.

    Raises:
        Upload.DoesNotExist: it was imported, replaced, is too old, or somebody else's.
    """
    return Upload.objects.get(pk=upload_id, user=origin.user_id, created_at__gte=now() - KEPT)


def look_again(upload: Upload, origin: Origin) -> bool:
    """Find out anew what the lines would do, say it in the present language, and return whether anything differs.

    Raises:
        Busy: this process or this person is at another import.
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
    """Do what the lines were said to do, all of it, and forget them.

    Raises:
        Busy: this process or this person is at another import.
        Upload.DoesNotExist: as `find`.
        Changed: they would do something else by now; nothing was done.
        Refused: lines are wrong, or somebody was faster; nothing was done.
    """
    with one_import(origin.user_id):
        return _carry_out(upload_id, origin)


def content(line: UploadedLine) -> dict[str, Any]:
    """Return what is kept of a line: `cells` of the file, `old` and `new` values, `problems` as (field, code, text)."""
    kept: dict[str, Any] = orjson.loads(line.content)
    return kept


def _read(file: BinaryIO, name: str, origin: Origin, deadline: Deadline) -> tuple[Upload, dict[str, list[Any]]]:
    """Return the upload, and the columns of the rows that keep its lines."""
    with spreadsheets.reading(file, MOST_LINES, deadline) as sheet:
        rows = list(sheet.rows)
        notes = {
            "passed_over": [heading[:MAX_LENGTH] for heading in sheet.passed_over],
            "no_holders": not sheet.has_holders,
            "windows": sheet.encoding == spreadsheets.WINDOWS,
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
    """Set on the upload what its lines would do, and return the columns of the rows that keep them.

    All of this is done before the transaction begins: on SQLite nobody else can write until it ends.
    """
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
    kept = {
        "cells": line.row.cells,
        "spoilt": line.row.spoilt,
        "old": line.old,
        "new": line.new,
        "problems": problems,
    }
    return orjson.dumps(kept).decode()


def _rows(upload: Upload) -> Iterator[Row]:
    for line in upload.lines.order_by("number").iterator():
        kept = content(line)
        spoilt = {column: Spoilt(reason) for column, reason in kept["spoilt"].items()}
        yield Row(line.number, kept["cells"], spoilt)


def _digest(lines: Sequence[Line], hospitals: Sequence[str]) -> str:
    """Return what differs if anything that was shown does, in whatever language."""
    digest = hashlib.sha256(orjson.dumps(hospitals))
    for line in lines:
        problems = [(problem.field, problem.code) for problem in line.problems]
        shown = (line.row.number, line.kind, line.device_id, line.old, line.new, problems)
        digest.update(orjson.dumps(shown))
    return digest.hexdigest()
