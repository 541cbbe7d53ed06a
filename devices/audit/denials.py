"""Record denied requests. Repeated denials neither fill the disk nor cause a response to fail.

Denials with the same action, status, caller and network are of one kind; an IPv6 /64 is one network. The first denial
of a kind (of failed passwords the first five) is written at once. Further ones within the minute are counted. The count
is written with the first denial after that minute.

A process writes at most MAX_ROWS_PER_MINUTE rows a minute for each action and status. All further ones share one row
without an address. Each action and status has its own limit, so a flood of one does not hide another.
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
MAX_ROWS_PER_MINUTE = 30  # of a process, for each action and status
BY_CALLER = {Action.OUT_OF_SCOPE, Action.CONFLICTS_OUTSIDE_SCOPE}  # one kind, from any network
SUMMED = "conflicts", "unchecked"  # details that are added up
ROWS_BEFORE_COUNTING: dict[str, int] = {Action.SIGN_IN_FAILED: 5, Action.PASSWORD_REJECTED: 5}  # of a kind; default: 1

logger = logging.getLogger(__name__)


class EventDeduplicator:
    """Decide which denials of the current minute are written as rows, and count the others."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.minute_began = -MINUTE
        self.seen: Counter[Any] = Counter()  # rows by kind
        self.shares: Counter[Any] = Counter()  # rows by action and status
        self.unwritten: dict[Any, AuditEvent] = {}

    def rows(self, event: AuditEvent) -> list[AuditEvent]:
        """Return the rows to write now: the event, unless it is only counted, and the counts of the last minute."""
        with self.lock:
            rows = self._end_minute() if time.monotonic() - self.minute_began >= MINUTE else []
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
        self.minute_began = time.monotonic()
        for counts in (self.seen, self.shares, self.unwritten):
            counts.clear()
        return rows


deduplicator = EventDeduplicator()


def record_denial(request: HttpRequest, action: str, *, obj: models.Model | None = None, **details: Any) -> None:
    """Record or count a denial. A database error is logged and does not change the response."""
    event = audit_log.build_event(request, action, obj=obj, **details)
    try:
        if details.get("status") == HTTPStatus.UNAUTHORIZED and (key_id := _inactive_key(request)):
            event.object_type, event.object_id = ObjectType.API_KEY.value, key_id
        if rows := deduplicator.rows(event):
            with transaction.atomic():
                AuditEvent.objects.bulk_create(rows)
    except DatabaseError:
        logger.warning("Could not record a denied request (%s) in the audit log.", action, exc_info=True)


def _inactive_key(request: HttpRequest) -> int | None:
    """Return the id of the revoked or expired key that was sent, or None if the key is unknown.

    Call it for a 401 only. For a 429 no key is looked up, because it could be a guess.
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
