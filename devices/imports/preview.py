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

from devices.access.actor import Actor
from devices.db import bulk
from devices.db.transactions import atomic_with_retry
from devices.imports import plan
from devices.imports.deadline import Deadline, DeadlineExceeded
from devices.imports.files import spreadsheet
from devices.imports.files.cells import ExcelConversion
from devices.imports.files.header import UnreadableFile
from devices.imports.files.spreadsheet import Row
from devices.imports.plan import Outcome, PlannedRow
from devices.models import ImportPreview, ImportPreviewRow, ImportTurn, now_ms
from devices.values.normalization import MAX_LENGTH

KEPT_FOR = timedelta(hours=1)
MAX_ROWS = 60_000  # which take 300 MB
READING_SECONDS = 60  # of the processor, to read and plan a file: many times what the longest list of devices takes
LONGEST_TURN = 180  # seconds, after which the turn of a process that has died is over

_process = threading.Lock()


class PreviewOutdated(Exception):
    """The lines would do something else than the preview showed."""


class ImportBusy(Exception):
    """This process, or this user in any process, has another import in progress."""


@contextmanager
def one_import(user_id: int) -> Iterator[None]:
    """Hold the turn of this process and of this user.

    Raises:
        Busy: another import holds one of them.
    """
    if not _process.acquire(blocking=False):
        raise ImportBusy
    try:
        seconds, turns = int(time.time()), ImportTurn.objects.filter(user=user_id)
        turns.filter(ends_at__lte=seconds).delete()
        mine = {"token": secrets.token_hex(8), "ends_at": seconds + LONGEST_TURN}
        if not turns.get_or_create(mine, user_id=user_id)[1]:
            raise ImportBusy
        try:
            yield
        finally:
            turns.filter(**mine).delete()
    finally:
        _process.release()


def create_preview(file: BinaryIO, name: str, actor: Actor) -> ImportPreview:
    """Read a file, plan its lines, and store them for the user.

    Raises:
        Busy: this process or this user has another import in progress.
        UnreadableFile: the file cannot be read, has too many lines, or takes too long.
    """
    deadline = Deadline(READING_SECONDS)
    with one_import(actor.user_id or 0):
        try:
            rows, notes = _read(file, deadline)
            lines = plan.make_plan(deadline.during(rows), actor)
        except DeadlineExceeded as error:
            raise UnreadableFile(
                _("The file takes too long to read. Save the list of devices alone, as CSV.")
            ) from error
        with transaction.atomic():
            ImportPreview.objects.filter(Q(user=actor.user_id) | Q(created_at__lt=now_ms() - KEPT_FOR)).delete()
            upload = ImportPreview(user_id=actor.user_id or 0, name=name[:MAX_LENGTH], notes=notes)
            _store(upload, lines)
    return upload


def preview_of(actor: Actor) -> QuerySet[ImportPreview]:
    """Return the upload that the user may look at and import, if there is one."""
    return ImportPreview.objects.filter(user=actor.user_id, created_at__gte=now_ms() - KEPT_FOR)


def refresh_preview(upload: ImportPreview, actor: Actor) -> bool:
    """Plan the lines again, in the current language, and return whether the result differs.

    Raises:
        Busy: this process or this user has another import in progress.
        Upload.DoesNotExist: it was imported or replaced meanwhile.
    """
    before = upload.digest
    with one_import(actor.user_id or 0):
        lines = plan.make_plan(_rows(upload), actor)
        with transaction.atomic():
            ImportPreview.objects.select_for_update().get(pk=upload.pk)
            upload.rows.all().delete()
            _store(upload, lines)
    return upload.digest != before


def confirm(upload_id: UUID, actor: Actor) -> Outcome:
    """Do all that the preview showed, and delete the upload; or raise and do nothing.

    Raises:
        Busy: this process or this user has another import in progress.
        Upload.DoesNotExist: it was imported or replaced, is too old, or another user's.
        Changed: the lines would do something else by now.
        Refused: lines are wrong, or another client was faster.
    """
    with one_import(actor.user_id or 0):
        return _apply(upload_id, actor)


def content(line: ImportPreviewRow) -> dict[str, Any]:
    """Return what is stored of a line: `cells`, `old` and `new` values, `problems` as (field, code, text)."""
    stored: dict[str, Any] = orjson.loads(line.data)
    return stored


def _read(file: BinaryIO, deadline: Deadline) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of the file, and what the preview says about the file as a whole."""
    with spreadsheet.open_sheet(file, deadline) as sheet:
        rows = list(islice(sheet.rows, MAX_ROWS + 1))
    if len(rows) > MAX_ROWS:
        raise UnreadableFile(_("The file has more than %(most)d devices. Divide it.") % {"most": MAX_ROWS})
    if not rows:
        raise UnreadableFile(_("The file has headings, and no device beneath them."))
    passed_over = [heading[:MAX_LENGTH] for heading in sheet.passed_over]
    return rows, {"passed_over": passed_over, "no_holders": not sheet.has_holders, "windows": sheet.is_windows}


@atomic_with_retry
def _apply(upload_id: UUID, actor: Actor) -> Outcome:
    upload = preview_of(actor).select_for_update().get(pk=upload_id)
    lines = plan.make_plan(_rows(upload), actor, lock=True)
    if _digest(lines, plan.new_hospitals(lines)) != upload.digest:
        raise PreviewOutdated
    outcome = plan.apply_plan(lines, actor)
    plan.record_import(outcome)
    upload.delete()
    return outcome


def _store(upload: ImportPreview, lines: Sequence[PlannedRow]) -> None:
    """Store what the lines would do."""
    hospitals = plan.new_hospitals(lines)
    upload.notes = {**upload.notes, "new_hospitals": hospitals}
    upload.counts = Outcome(line.action for line in lines)
    upload.digest = _digest(lines, hospitals)
    upload.language = get_language() or ""
    upload.save()
    for some in plan.batches(lines):
        number, action, data = zip(*((line.row.number, line.action, _content(line)) for line in some), strict=True)
        bulk.insert(ImportPreviewRow, {"number": number, "action": action, "data": data}, {"preview_id": upload.pk})


def _content(line: PlannedRow) -> str:
    problems = [(problem.field, problem.code, str(problem.message)) for problem in line.problems]
    read = {"cells": line.row.cells, "spoilt": line.row.spoilt}
    return orjson.dumps({**read, "old": line.old, "new": line.new, "problems": problems}).decode()


def _rows(upload: ImportPreview) -> Iterator[Row]:
    for line in upload.rows.order_by("number").iterator():
        stored = content(line)
        spoilt = {column: ExcelConversion(reason) for column, reason in stored["spoilt"].items()}
        yield Row(line.number, stored["cells"], spoilt)


def _digest(lines: Sequence[PlannedRow], hospitals: Sequence[str]) -> str:
    """Return a digest of all that the preview shows, whatever the language."""
    digest = hashlib.sha256(orjson.dumps(hospitals))
    for line in lines:
        problems = [(problem.field, problem.code) for problem in line.problems]
        pk = line.device and line.device.pk
        digest.update(orjson.dumps((line.row.number, line.action, pk, line.old, line.new, problems)))
    return digest.hexdigest()
