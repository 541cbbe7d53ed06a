"""Export the audit trail of one user, device, API key or hospital: history and audit events in chronological order.

Rows are read in batches, so memory does not grow with their number.
"""

import csv
import heapq
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain, islice
from typing import Any, NamedTuple

import orjson
from django.db import models
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from devices.audit.audit_log import OBJECT_TYPES, ObjectType
from devices.history import recording
from devices.models import ApiKey, AuditEvent, Device, Hospital, changes_in_scope
from devices.values.csv_escaping import escape

BATCH_SIZE = 500

VALUES = {  # exported columns of each history
    Device: ("device_name", "device_mac", "device_type", "device_holder_id"),
    Hospital: ("name", "address", "email", "phone", "region", "domain"),
    ApiKey: (
        *("name", "prefix", "all_hospitals", "hospital_ids", "read_only", "naming", "unknown_holder"),
        *("allowed_networks", "sandbox", "legacy", "expires_at", "revoked_at"),
    ),
}
ACTIONS = {recording.CREATED: "added", recording.CHANGED: "changed", recording.DELETED: "removed"}
COLUMNS = (
    *("created_at", "action", "user_id", "username", "api_key_id", "channel", "ip_address", "request_id"),
    *("object_type", "object_id", "hospital_id", "before", "after", "details"),
)
CSV_HEADER = f"\ufeff{','.join(COLUMNS)}\r\n".encode()  # with a byte order mark, else Excel reads it as Windows-1252
FORMATS = ("jsonl", "csv")

Entry = dict[str, Any]


class AuditExport(NamedTuple):
    """The conditions that select the trail: changes in the history of each model, and audit events."""

    changes: dict[type[Any], Q]
    events: Q

    def lines(self, format: str, first: date | None = None, last: date | None = None) -> Iterator[bytes]:  # noqa: A002
        """Return one line for each entry from the first day to the last. CSV begins with CSV_HEADER."""
        entries = self.entries(first, last)
        return map(to_json, entries) if format == "jsonl" else chain([CSV_HEADER], map(to_csv, entries))

    def entries(self, first: date | None = None, last: date | None = None) -> Iterator[Entry]:
        """Return the entries from the first day to the last, in chronological order."""
        days = _between("history_date", first, last)
        streams = [_changes(model, condition & days) for model, condition in self.changes.items()]
        streams.append(_events(self.events & _between("created_at", first, last)))
        return heapq.merge(*streams, key=lambda entry: entry["created_at"])


def export_of(obj: models.Model) -> AuditExport:
    """Return the trail of a user, device, API key or hospital.

    The trail of a user or key has the actions by it and the actions on it. The trail of a hospital includes its
    devices, keys and admins, and those of hospitals that were merged into it.
    """
    pk = obj.pk
    match obj:
        case Device():
            return AuditExport({Device: Q(id=pk)}, Q(object_type=ObjectType.DEVICE, object_id=pk))
        case ApiKey():
            by_key = Q(history_api_key_id=pk)
            changes = {Device: by_key, Hospital: by_key, ApiKey: by_key | Q(id=pk)}
            return AuditExport(changes, Q(api_key_id=pk) | Q(object_type=ObjectType.API_KEY, object_id=pk))
        case Hospital():
            hospital = Hospital.objects.filter(pk=pk)
            ids = hospital.ids_including_merged()
            changes = {Device: changes_in_scope(hospital), Hospital: Q(id__in=ids), ApiKey: _of_hospitals(ids)}
            return AuditExport(changes, Q(hospital_id__in=ids) | Q(object_type=ObjectType.HOSPITAL, object_id__in=ids))
        case _:
            events = Q(user_id=pk) | Q(object_type=ObjectType.USER, object_id=pk)
            return AuditExport(dict.fromkeys(OBJECT_TYPES, Q(history_user_id=pk)), events)


def _of_hospitals(ids: list[int]) -> Q:
    """Return the condition for changes of keys that are limited to one of the hospitals. The column is a JSON array."""
    return Q(hospital_ids__regex=rf"[\[,]({'|'.join(map(str, ids))})[,\]]") if ids else Q(pk=None)


def to_json(entry: Entry) -> bytes:
    return orjson.dumps(entry) + b"\n"


def to_csv(entry: Entry) -> bytes:
    """Return a CSV row. Values are escaped, so that a spreadsheet runs none as a formula."""
    line = io.StringIO()
    csv.writer(line).writerow(escape(_text(entry[column])) for column in COLUMNS)
    return line.getvalue().encode()


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return orjson.dumps(value).decode() if isinstance(value, dict) else "" if value is None else str(value)


def _between(column: str, first: date | None, last: date | None) -> Q:
    bounds = {f"{column}__gte": _midnight(first), f"{column}__lt": _midnight(last, days_later=1)}
    return Q(**{lookup: at for lookup, at in bounds.items() if at})


def _midnight(day: date | None, days_later: int = 0) -> datetime | None:
    """Return when the day, or a later day, begins. Return None if no day is given or Python cannot represent it."""
    if day is None:
        return None
    try:
        return timezone.make_aware(datetime.combine(day + timedelta(days=days_later), time.min)).astimezone(UTC)
    except OverflowError:
        return None


def _changes(model: Any, condition: Q) -> Iterator[Entry]:
    """Return the changes, each compared with the previous change of the same row by any actor."""
    record = model.history.model
    earlier = record.objects.filter(id=OuterRef("id"), history_id__lt=OuterRef("history_id")).order_by("-history_id")
    rows = record.objects.annotate(previous=Subquery(earlier.values("pk")[:1])).select_related("history_user")
    for batch in _batches(record.objects.filter(condition), "history_date", rows):
        previous = record.objects.in_bulk([row.previous for row in batch if row.previous])
        yield from (_change_entry(model, row, previous.get(row.previous)) for row in batch)


def _change_entry(model: Any, row: Any, previous: Any) -> Entry:
    """Return the entry of a change with the values that differ. A new or removed row has all its values."""
    before = {recording.CREATED: None, recording.CHANGED: previous, recording.DELETED: row}[row.history_type]
    old = {name: getattr(before, name) for name in VALUES[model]} if before else {}
    new = {name: getattr(row, name) for name in VALUES[model]} if row.history_type != recording.DELETED else {}
    return {
        "created_at": row.history_date,
        "action": f"{OBJECT_TYPES[model]} {ACTIONS[row.history_type]}",
        "user_id": row.history_user_id,
        "username": row.history_user.get_username() if row.history_user else "",
        "api_key_id": row.history_api_key_id,
        "channel": row.history_channel,
        "ip_address": row.history_ip_address,
        "request_id": row.history_request_id,
        "object_type": OBJECT_TYPES[model],
        "object_id": row.id,
        "hospital_id": None,
        "before": {name: value for name, value in old.items() if name not in new or new[name] != value},
        "after": {name: value for name, value in new.items() if name not in old or old[name] != value},
        "details": {"reason": row.history_change_reason} if row.history_change_reason else {},
    }


def _events(condition: Q) -> Iterator[Entry]:
    for batch in _batches(AuditEvent.objects.filter(condition), "created_at", AuditEvent.objects.all()):
        for event in batch:
            yield {name: getattr(event, name, {}) for name in COLUMNS}  # events have no `before` and `after`


def _batches(found: QuerySet[Any], time_column: str, rows: QuerySet[Any]) -> Iterator[list[Any]]:
    """Return the rows in chronological order, in batches. The database sorts only their ids."""
    ids = found.order_by(time_column, "pk").values_list("pk", flat=True).iterator(chunk_size=BATCH_SIZE)
    while batch := list(islice(ids, BATCH_SIZE)):
        by_id = rows.in_bulk(batch)
        yield [by_id[pk] for pk in batch if pk in by_id]  # `prune` can remove rows in the meantime
