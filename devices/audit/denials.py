"""Record what was denied. Repeated denials neither fill the disk nor fail a response.

The first event of a kind (event and status, caller, network) is written at once. Those after it within the minute are
counted; the count is written after the minute, with the next denial. An IPv6 /64 counts as one network.

A process writes at most MOST_A_MINUTE rows of one event and status a minute. All others are one row without an address.
Each event and status has its own share, so a flood of one does not hide another.
"""

import logging
import threading
import time
from collections import Counter
from http import HTTPStatus
from typing import Any

from django.db import DatabaseError, models, transaction
from django.http import HttpRequest

from devices.access.client_ip import network_of
from devices.audit import audit_log
from devices.audit.audit_log import Action, ObjectType
from devices.crypto import keys
from devices.models import ApiKey, AuditEvent

HEADER = "x-api-key"
MINUTE = 60.0  # seconds
MAX_ROWS_PER_MINUTE = 30  # rows of a process, for each event and status
BY_CALLER = {Action.OUT_OF_SCOPE, Action.CONFLICTS_OUTSIDE_SCOPE}  # of one kind from any network
SUMMED = "conflicts", "unchecked"  # details that are added up
ROWS_BEFORE_COUNTING: dict[str, int] = {
    Action.SIGN_IN_FAILED: 5,
    Action.PASSWORD_REJECTED: 5,
}  # rows before a kind is counted; else 1

logger = logging.getLogger(__name__)


class EventDeduplicator:
    """The denials of the current minute: which of them become rows, and with which counts."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.began = -MINUTE
        self.seen: Counter[Any] = Counter()  # rows by kind
        self.shares: Counter[Any] = Counter()  # rows by event and status
        self.unwritten: dict[Any, AuditEvent] = {}

    def rows(self, event: AuditEvent) -> list[AuditEvent]:
        """Return the rows to write now: the event, unless it is counted only, and the counts of a past minute."""
        with self.lock:
            rows = self._end_minute() if time.monotonic() - self.began >= MINUTE else []
            kind, share = _kind(event), (event.action, event.details.get("status"))
            if self.shares[share] >= MAX_ROWS_PER_MINUTE and kind not in self.seen:
                event, kind = _without_caller(event), share
            if self.seen[kind] < ROWS_BEFORE_COUNTING.get(event.action, 1):
                self.seen[kind] += 1
                self.shares[share] += 1
                return [*rows, event]
            counted = self.unwritten.setdefault(kind, event)
            for name in SUMMED:
                if counted is not event and name in event.details:
                    counted.details[name] = counted.details.get(name, 0) + event.details[name]
            counted.details["count"] = counted.details.get("count", 0) + 1
            return rows

    def _end_minute(self) -> list[AuditEvent]:
        rows = list(self.unwritten.values())
        self.began = time.monotonic()
        for counts in (self.seen, self.shares, self.unwritten):
            counts.clear()
        return rows


deduplicator = EventDeduplicator()


def record_denial(request: HttpRequest, action: str, *, obj: models.Model | None = None, **details: Any) -> None:
    """Record or count a denial. If the database refuses it, that is logged, and the response does not fail."""
    event = audit_log.build_event(request, action, obj=obj, **details)
    try:
        if details.get("status") == HTTPStatus.UNAUTHORIZED and (ended := _inactive_key(request)):
            event.object_type, event.object_id = ObjectType.API_KEY.value, ended
        if rows := deduplicator.rows(event):
            with transaction.atomic():
                AuditEvent.objects.bulk_create(rows)
    except DatabaseError:
        logger.warning("A denial (%s) could not be put on record.", action, exc_info=True)


def _inactive_key(request: HttpRequest) -> int | None:
    """Return the id of the revoked or expired key that was sent, if it is one.

    Call it for a 401 only: behind a 429 no key is looked up, since it may be a guess.
    """
    sent = request.headers.get(HEADER, "")
    if not keys.is_well_formed(sent):
        return None
    return ApiKey.objects.filter(digest=keys.digest(sent)).values_list("pk", flat=True).first()


def _without_caller(event: AuditEvent) -> AuditEvent:
    summed = {name: event.details[name] for name in SUMMED if name in event.details}
    return AuditEvent(action=event.action, channel=event.channel, details={"from": "many others", **summed})


def _kind(event: AuditEvent) -> Any:
    network = None if event.action in BY_CALLER else network_of(event.ip_address)
    caller = event.user_id, event.api_key_id, event.object_id, network
    return event.action, event.details.get("status"), caller
