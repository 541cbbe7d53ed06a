"""Store an import between its preview and its confirmation.

Its lines are in the database, which all worker processes share, for an hour. Each user has one; a new file replaces it.

An import needs much memory and time. So each process, and each user in all processes, has one in progress at a time; a
second one is refused at once.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import Any, BinaryIO
from uuid import UUID

import orjson
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from devices import fleets, spreadsheets, sql
from devices.cells import Spoilt
from devices.deadlines import Deadline, Overdue
from devices.drafts import MAX_LENGTH
from devices.fleets import Line, Outcome
from devices.headings import Unreadable
from devices.models import ImportTurn, Upload, UploadedLine, now
from devices.origin import Origin
from devices.spreadsheets import Row
from devices.transactions import in_one_transaction

KEPT = timedelta(hours=1)
MOST_LINES = 60_000  # which take 300 MB
READING_SECONDS = 60  # of the processor, to read and plan a file: many times what the longest list of devices takes
LONGEST_TURN = 180  # seconds, after which the turn of a process that has died is over

_process = threading.Lock()


class Changed(Exception):
    """The lines would do something else than the preview showed."""


class Busy(Exception):
    """This process, or this user in any process, has another import in progress."""


@contextmanager
def one_import(user_id: int) -> Iterator[None]:
    """Hold the turn of this process and of this user.

    Raises:
        Busy: another import holds one of them.
    """
    if not _process.acquire(blocking=False):
        raise Busy
    try:
        seconds, turns = int(time.time()), ImportTurn.objects.filter(user=user_id)
        turns.filter(ends_at__lte=seconds).delete()
        mine = {"token": secrets.token_hex(8), "ends_at": seconds + LONGEST_TURN}
        if not turns.get_or_create(mine, user_id=user_id)[1]:
            raise Busy
        try:
            yield
        finally:
            turns.filter(**mine).delete()
    finally:
        _process.release()


def receive(file: BinaryIO, name: str, origin: Origin) -> Upload:
    """Read a file, plan its lines, and store them for the user.

    Raises:
        Busy: this process or this user has another import in progress.
        Unreadable: the file cannot be read, has too many lines, or takes too long.
    """
    deadline = Deadline(READING_SECONDS)
    with one_import(origin.user_id or 0):
        try:
            rows, notes = _read(file, deadline)
            lines = fleets.plan(deadline.during(rows), origin)
        except Overdue as error:
            raise Unreadable(_("The file takes too long to read. Save the list of devices alone, as CSV.")) from error
        with transaction.atomic():
            Upload.objects.filter(Q(user=origin.user_id) | Q(created_at__lt=now() - KEPT)).delete()
            upload = Upload(user_id=origin.user_id or 0, name=name[:MAX_LENGTH], notes=notes)
            _store(upload, lines)
    return upload


def of_user(origin: Origin) -> QuerySet[Upload]:
    """Return the upload that the user may look at and import, if there is one."""
    return Upload.objects.filter(user=origin.user_id, created_at__gte=now() - KEPT)


def look_again(upload: Upload, origin: Origin) -> bool:
    """Plan the lines again, in the current language, and return whether the result differs.

    Raises:
        Busy: this process or this user has another import in progress.
        Upload.DoesNotExist: it was imported or replaced meanwhile.
    """
    before = upload.digest
    with one_import(origin.user_id or 0):
        lines = fleets.plan(_rows(upload), origin)
        with transaction.atomic():
            Upload.objects.select_for_update().get(pk=upload.pk)
            upload.lines.all().delete()
            _store(upload, lines)
    return upload.digest != before


def confirm(upload_id: UUID, origin: Origin) -> Outcome:
    """Do all that the preview showed, and delete the upload; or raise and do nothing.

    Raises:
        Busy: this process or this user has another import in progress.
        Upload.DoesNotExist: it was imported or replaced, is too old, or another user's.
        Changed: the lines would do something else by now.
        Refused: lines are wrong, or another client was faster.
    """
    with one_import(origin.user_id or 0):
        return _carry_out(upload_id, origin)


def content(line: UploadedLine) -> dict[str, Any]:
    """Return what is stored of a line: `cells`, `old` and `new` values, `problems` as (field, code, text)."""
    stored: dict[str, Any] = orjson.loads(line.content)
    return stored


def _read(file: BinaryIO, deadline: Deadline) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of the file, and what the preview says about the file as a whole."""
    with spreadsheets.reading(file, deadline) as sheet:
        rows = list(islice(sheet.rows, MOST_LINES + 1))
    if len(rows) > MOST_LINES:
        raise Unreadable(_("The file has more than %(most)d devices. Divide it.") % {"most": MOST_LINES})
    if not rows:
        raise Unreadable(_("The file has headings, and no device beneath them."))
    passed_over = [heading[:MAX_LENGTH] for heading in sheet.passed_over]
    return rows, {"passed_over": passed_over, "no_holders": not sheet.has_holders, "windows": sheet.is_windows}


@in_one_transaction
def _carry_out(upload_id: UUID, origin: Origin) -> Outcome:
    upload = of_user(origin).select_for_update().get(pk=upload_id)
    lines = fleets.plan(_rows(upload), origin, lock=True)
    if _digest(lines, fleets.new_hospitals(lines)) != upload.digest:
        raise Changed
    outcome = fleets.carry_out(lines, origin)
    fleets.note(outcome)
    upload.delete()
    return outcome


def _store(upload: Upload, lines: Sequence[Line]) -> None:
    """Store what the lines would do."""
    hospitals = fleets.new_hospitals(lines)
    upload.notes = {**upload.notes, "new_hospitals": hospitals}
    upload.counts = Outcome(line.kind for line in lines)
    upload.digest = _digest(lines, hospitals)
    upload.language = get_language() or ""
    upload.save()
    for some in fleets.batches(lines):
        number, kind, content = zip(*((line.row.number, line.kind, _content(line)) for line in some), strict=True)
        sql.insert(UploadedLine, {"number": number, "kind": kind, "content": content}, {"upload_id": upload.pk})


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
        pk = line.device and line.device.pk
        digest.update(orjson.dumps((line.row.number, line.kind, pk, line.old, line.new, problems)))
    return digest.hexdigest()
