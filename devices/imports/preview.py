"""Store an import between its preview and its confirmation.

The database, which all worker processes share, stores the rows for one hour. Each user has one preview; a new file
replaces it.

An import needs much memory and time. So each process, and each user across all processes, runs one at a time. A second
one is rejected immediately.
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
from devices.imports.files import sheet_rows, spreadsheet
from devices.imports.files.cells import ExcelConversion
from devices.imports.files.header import UnreadableFile
from devices.imports.files.spreadsheet import Row
from devices.imports.plan import Outcome, PlannedRow
from devices.models import ImportPreview, ImportPreviewRow, ImportTurn, now_ms
from devices.values.normalization import MAX_LENGTH

LIFETIME = timedelta(hours=1)
MAX_ROWS = 60_000  # these take 300 MB
CPU_SECONDS = 60  # to read and plan a file: many times what the longest list of devices takes
MAX_TURN_SECONDS = 180  # after this time, the turn of a process that has died ends

_process = threading.Lock()


class PreviewOutdated(Exception):
    """The result of the import would differ from the preview."""


class ImportBusy(Exception):
    """This process, or this user in any process, has another import in progress."""


@contextmanager
def one_import(user_id: int) -> Iterator[None]:
    """Hold the turn of this process and of this user.

    Raises:
        ImportBusy: another import holds one of them.
    """
    if not _process.acquire(blocking=False):
        raise ImportBusy
    try:
        seconds, turns = int(time.time()), ImportTurn.objects.filter(user=user_id)
        turns.filter(ends_at__lte=seconds).delete()
        mine = {"token": secrets.token_hex(8), "ends_at": seconds + MAX_TURN_SECONDS}
        if not turns.get_or_create(mine, user_id=user_id)[1]:
            raise ImportBusy
        try:
            yield
        finally:
            turns.filter(**mine).delete()
    finally:
        _process.release()


def create_preview(file: BinaryIO, name: str, actor: Actor) -> ImportPreview:
    """Read a file, plan its rows, and store them for the user.

    Raises:
        ImportBusy: this process or this user has another import in progress.
        UnreadableFile: the file cannot be read, has too many rows, or takes too long.
    """
    deadline = Deadline(CPU_SECONDS)
    with one_import(actor.user_id or 0):
        try:
            rows, notes = _read(file, deadline)
            planned = plan.make_plan(deadline.during(rows), actor)
        except DeadlineExceeded as error:
            raise UnreadableFile(
                _("Reading the file takes too long. Save only the list of devices, as CSV.")
            ) from error
        with transaction.atomic():
            ImportPreview.objects.filter(Q(user=actor.user_id) | Q(created_at__lt=now_ms() - LIFETIME)).delete()
            upload = ImportPreview(user_id=actor.user_id or 0, name=name[:MAX_LENGTH], notes=notes)
            _store(upload, planned)
    return upload


def preview_of(actor: Actor) -> QuerySet[ImportPreview]:
    """Return the preview that the user can view and import, if there is one."""
    return ImportPreview.objects.filter(user=actor.user_id, created_at__gte=now_ms() - LIFETIME)


def refresh_preview(upload: ImportPreview, actor: Actor) -> bool:
    """Plan the rows again, in the current language, and return whether the result differs.

    Raises:
        ImportBusy: this process or this user has another import in progress.
        ImportPreview.DoesNotExist: it was imported or replaced in the meantime.
    """
    before = upload.digest
    with one_import(actor.user_id or 0):
        planned = plan.make_plan(_stored_rows(upload), actor)
        with transaction.atomic():
            ImportPreview.objects.select_for_update().get(pk=upload.pk)
            upload.rows.all().delete()
            _store(upload, planned)
    return upload.digest != before


def omit_invalid(upload: ImportPreview, actor: Actor) -> None:
    """Remove the invalid rows from the preview, and plan the others again. Do nothing if no row would be left.

    A row can need a name that a removed row would have released. Then the new preview shows it as invalid.

    Raises:
        ImportBusy: this process or this user has another import in progress.
        ImportPreview.DoesNotExist: it was imported or replaced in the meantime.
    """
    with one_import(actor.user_id or 0):
        invalid = set(upload.rows.filter(action=plan.RowAction.INVALID).values_list("number", flat=True))
        planned = plan.make_plan((row for row in _stored_rows(upload) if int(row.number) not in invalid), actor)
        if not planned:
            return
        with transaction.atomic():
            ImportPreview.objects.select_for_update().get(pk=upload.pk)
            upload.rows.all().delete()
            upload.notes["omitted"] = upload.notes.get("omitted", 0) + len(invalid)
            _store(upload, planned)


def confirm(upload_id: UUID, actor: Actor) -> Outcome:
    """Import exactly what the preview showed, and delete the preview. If this fails, nothing is imported.

    Raises:
        ImportBusy: this process or this user has another import in progress.
        ImportPreview.DoesNotExist: it was imported or replaced, is too old, or belongs to another user.
        PreviewOutdated: the result would now differ from the preview.
        ValidationFailed: rows are invalid, or another client has written a value first.
    """
    with one_import(actor.user_id or 0):
        return _apply(upload_id, actor)


def content(row: ImportPreviewRow) -> dict[str, Any]:
    """Return the stored `cells`, `old` and `new` values of a row, and its `problems` as (field, code, text)."""
    stored: dict[str, Any] = orjson.loads(row.data)
    return stored


def number_of(row: ImportPreviewRow, upload: ImportPreview) -> int:
    """Return the row's number in the file; its text names the worksheet, if there are several."""
    return sheet_rows.restored(row.number, upload.notes.get("sheets", ()))


def _read(file: BinaryIO, deadline: Deadline) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of the file, and notes for the preview about the file as a whole."""
    with spreadsheet.open_sheet(file, deadline) as sheet:
        rows = list(islice(sheet.rows, MAX_ROWS + 1))
    if len(rows) > MAX_ROWS:
        raise UnreadableFile(_("The file has more than %(most)d devices. Divide it.") % {"most": MAX_ROWS})
    if not rows:
        raise UnreadableFile(_("The file has column headers, but no devices below them."))
    texts = ("ignored_columns", "sheets", "ignored_sheets", "hidden_sheets", "hidden_columns")
    return rows, {
        **{name: [text[:MAX_LENGTH] for text in getattr(sheet, name)] for name in texts},
        "hidden_rows": sheet.hidden_rows,
        "has_no_hospitals": not sheet.has_hospitals,
        "is_windows_1252": sheet.is_windows_1252,
    }


@atomic_with_retry
def _apply(upload_id: UUID, actor: Actor) -> Outcome:
    upload = preview_of(actor).select_for_update().get(pk=upload_id)
    planned = plan.make_plan(_stored_rows(upload), actor, lock=True)
    if _digest(planned, plan.new_hospitals(planned)) != upload.digest:
        raise PreviewOutdated
    outcome = plan.apply_plan(planned, actor)
    plan.record_import(outcome)
    upload.delete()
    return outcome


def _store(upload: ImportPreview, planned: Sequence[PlannedRow]) -> None:
    hospitals = plan.new_hospitals(planned)
    upload.notes = {**upload.notes, "new_hospitals": hospitals}
    upload.counts = Outcome(row.action for row in planned)
    upload.digest = _digest(planned, hospitals)
    upload.language = get_language() or ""
    upload.save()
    for batch in plan.batches(planned):
        number, action, data = zip(*((int(row.source.number), row.action, _content(row)) for row in batch), strict=True)
        bulk.insert(ImportPreviewRow, {"number": number, "action": action, "data": data}, {"preview_id": upload.pk})


def _content(row: PlannedRow) -> str:
    problems = [(problem.field, problem.code, str(problem.message)) for problem in row.problems]
    source = {"cells": row.source.cells, "conversions": row.source.conversions}
    return orjson.dumps({**source, "old": row.old, "new": row.new, "problems": problems}).decode()


def _stored_rows(upload: ImportPreview) -> Iterator[Row]:
    for row in upload.rows.order_by("number").iterator():
        stored = content(row)
        conversions = {column: ExcelConversion(name) for column, name in stored["conversions"].items()}
        yield Row(number_of(row, upload), stored["cells"], conversions)


def _digest(planned: Sequence[PlannedRow], hospitals: Sequence[str]) -> str:
    """Return a digest of everything that the preview shows. It does not depend on the language."""
    digest = hashlib.sha256(orjson.dumps(hospitals))
    for row in planned:
        problems = [(problem.field, problem.code) for problem in row.problems]
        pk = row.device and row.device.pk
        digest.update(orjson.dumps((int(row.source.number), row.action, pk, row.old, row.new, problems)))
    return digest.hexdigest()
