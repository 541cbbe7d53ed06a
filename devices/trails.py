"""All that is on record about one person, device, key or hospital, in order of time: history and audit events together.

It is read some hundred rows at a time, however much there is.
"""

import csv
import heapq
import io
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain, islice
from typing import Any

import orjson
from django.db import models
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from devices import history
from devices.audit import KINDS, About
from devices.cells import escaped
from devices.models import ApiKey, AuditEvent, Device, Hospital, changes_of

ROWS_AT_ONCE = 500

TOLD = {  # of a row of history, what the change was about
    Device: ("device_name", "device_mac", "device_type", "device_holder_id"),
    Hospital: ("name",),
    ApiKey: ("name", "prefix", "hospital_id", "read_only", "naming", "legacy", "expires_at", "revoked_at"),
}
WORDS = {history.ADDED: "added", history.CHANGED: "changed", history.REMOVED: "removed"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. `before` and `after` have the values that differ; of what is new, all of them."""

    at: datetime
    what: str
    user_id: int | None
    username: str
    api_key_id: int | None
    through: str
    address: str | None
    request_id: str
    about: str
    about_id: int | None
    hospital_id: int | None = None
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> bytes:
        return orjson.dumps(asdict(self)) + b"\n"

    def as_csv(self) -> bytes:
        """Return the entry as a line of a spreadsheet, which runs nothing of it."""
        return _csv_line(escaped(_text(value)) for value in (asdict(self) | {"at": self.at.isoformat()}).values())


def _csv_line(cells: Iterable[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue().encode()


COLUMNS = tuple(Entry.__dataclass_fields__)
HEADINGS = "\ufeff".encode() + _csv_line(COLUMNS)  # the mark without which Excel takes it for Windows-1252
FORMATS = ("jsonl", "csv")


@dataclass(frozen=True, slots=True)
class Trail:
    """What to look for: of the history of each model, and of the events."""

    changes: dict[type[Any], Q]
    events: Q

    def lines(self, format: str, first: date | None = None, last: date | None = None) -> Iterator[bytes]:  # noqa: A002
        """Give what happened from the first day to the last, a line an entry, in one of the FORMATS.

        A table begins with HEADINGS.
        """
        since = _midnight(first) if first else None
        until = _midnight(last, days_later=1) if last else None
        if format == "csv":
            return chain([HEADINGS], (entry.as_csv() for entry in self.entries(since, until)))
        return (entry.as_json() for entry in self.entries(since, until))

    def entries(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[Entry]:
        """Give what happened from `since` on and before `until`, the earliest first."""
        bounds = _within("history_date", since, until)
        streams = [_changes(model, wanted & bounds) for model, wanted in self.changes.items()]
        streams.append(_events(self.events & _within("at", since, until)))
        return heapq.merge(*streams, key=lambda entry: entry.at)


def of(about: models.Model) -> Trail:
    """Return what is on record about this person, device, key or hospital."""
    match about:
        case Device():
            return of_device(about.pk)
        case ApiKey():
            return of_key(about.pk)
        case Hospital():
            return of_hospital(about)
        case _:
            return of_person(about.pk)


def of_person(user_id: int) -> Trail:
    """Return what this person did, and what was done about them."""
    by = Q(history_user_id=user_id)
    return Trail(dict.fromkeys(KINDS, by), Q(user_id=user_id) | Q(about=About.PERSON, about_id=user_id))


def of_device(device_id: int) -> Trail:
    return Trail({Device: Q(id=device_id)}, Q(about=About.DEVICE, about_id=device_id))


def of_key(key_id: int) -> Trail:
    """Return what was done with this key, and what was done about it."""
    by = Q(history_api_key_id=key_id)
    changes = {Device: by, Hospital: by, ApiKey: by | Q(id=key_id)}
    return Trail(changes, Q(api_key_id=key_id) | Q(about=About.API_KEY, about_id=key_id))


def of_hospital(hospital: Hospital) -> Trail:
    """Return what happened to this hospital and those merged into it, their devices, keys and admins."""
    itself = Hospital.objects.filter(pk=hospital.pk)
    ids = itself.ids_ever()
    changes = {Device: changes_of(itself), Hospital: Q(id__in=ids), ApiKey: Q(hospital_id__in=ids)}
    return Trail(changes, Q(hospital_id__in=ids) | Q(about=About.HOSPITAL, about_id__in=ids))


def _midnight(day: date, days_later: int = 0) -> datetime | None:
    """Return when the day begins, or one of those after it; None at either end of time, which bounds nothing."""
    try:
        return timezone.make_aware(datetime.combine(day + timedelta(days=days_later), time.min)).astimezone(UTC)
    except OverflowError:
        return None


def _within(column: str, since: datetime | None, until: datetime | None) -> Q:
    bounds = {f"{column}__gte": since, f"{column}__lt": until}
    return Q(**{lookup: instant for lookup, instant in bounds.items() if instant})


def _changes(model: Any, wanted: Q) -> Iterator[Entry]:
    """Give the changes, each with the one before it of the same row, whoever made that."""
    record = model.history.model
    earlier = record.objects.filter(id=OuterRef("id"), history_id__lt=OuterRef("history_id")).order_by("-history_id")
    rows = record.objects.annotate(previous=Subquery(earlier.values("pk")[:1])).select_related("history_user")
    for some in _by_time(record.objects.filter(wanted), "history_date", rows):
        before = record.objects.in_bulk([row.previous for row in some if row.previous])
        yield from (_of_change(model, row, before.get(row.previous)) for row in some)


def _of_change(model: Any, row: Any, previous: Any) -> Entry:
    old = _values(model, previous) if previous and row.history_type != history.ADDED else {}
    new = _values(model, row) if row.history_type != history.REMOVED else {}
    if row.history_type == history.REMOVED:
        old = _values(model, row)
    differing = [name for name in TOLD[model] if name not in old or name not in new or old[name] != new[name]]
    return Entry(
        at=row.history_date,
        what=f"{KINDS[model]} {WORDS[row.history_type]}",
        user_id=row.history_user_id,
        username=row.history_user.get_username() if row.history_user else "",
        api_key_id=row.history_api_key_id,
        through=row.history_through,
        address=row.history_address,
        request_id=row.history_request_id,
        about=KINDS[model],
        about_id=row.id,
        before={name: old[name] for name in differing if name in old},
        after={name: new[name] for name in differing if name in new},
        details={"reason": row.history_change_reason} if row.history_change_reason else {},
    )


def _values(model: Any, row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in TOLD[model]}


def _events(wanted: Q) -> Iterator[Entry]:
    columns = [name for name in COLUMNS if name not in ("before", "after")]
    for some in _by_time(AuditEvent.objects.filter(wanted), "at", AuditEvent.objects.all()):
        yield from (Entry(**{name: getattr(event, name) for name in columns}) for event in some)


def _by_time(wanted: QuerySet[Any], instant: str, rows: QuerySet[Any]) -> Iterator[list[Any]]:
    """Give some hundred rows after the other. The database sorts their ids alone, in memory that hardly grows."""
    ids = wanted.order_by(instant, "pk").values_list("pk", flat=True).iterator(chunk_size=ROWS_AT_ONCE)
    while some := list(islice(ids, ROWS_AT_ONCE)):
        found = rows.in_bulk(some)
        yield [found[pk] for pk in some if pk in found]  # a prune may run meanwhile


def _text(value: object) -> str:
    return orjson.dumps(value).decode() if isinstance(value, dict) else "" if value is None else str(value)
