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
from django.utils.deprecation import MiddlewareMixin

from devices import audit, conflict_limits, keys
from devices.audit import About, What
from devices.models import ApiKey, AuditEvent
from devices.origin import network_of

HEADER = "x-api-key"
DENIALS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
MINUTE = 60.0  # seconds
MOST_A_MINUTE = 30  # rows of a process, for each event and status
BY_CALLER = {What.OUTSIDE_SCOPE, What.CONFLICTS_OUTSIDE_SCOPE}  # of one kind from any network
SUMMED = "conflicts", "unchecked"  # details that are added up
BY_ID = {"id_device", "object_id", "upload_id"}  # parameters of routes that are the id of an object
AT_ONCE: dict[str, int] = {What.SIGN_IN_FAILED: 5, What.PASSWORD_REFUSED: 5}  # rows before a kind is counted; else 1

logger = logging.getLogger(__name__)


class AuditMiddleware(MiddlewareMixin):
    """Make the request known to the audit log, and record that it was denied."""

    def __call__(self, request: HttpRequest) -> Any:
        token = audit.current_request.set(request)
        try:
            response: Any = self.get_response(request)
            if numbers := conflict_limits.settle(request):
                note(request, What.CONFLICTS_OUTSIDE_SCOPE, **numbers)
            recorded = getattr(request, "axes_locked_out", False) or getattr(request, "denial_recorded", False)
            if response.status_code in DENIALS and not recorded:
                note(request, What.DENIED, status=response.status_code, **_requested(request))
            elif response.status_code == HTTPStatus.NOT_FOUND and _is_outside_scope(request):
                note(request, What.OUTSIDE_SCOPE, **_requested(request))
        finally:
            audit.current_request.reset(token)
        return response


class Tally:
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
            kind, share = _kind(event), (event.what, event.details.get("status"))
            if self.shares[share] >= MOST_A_MINUTE and kind not in self.seen:
                event, kind = _without_caller(event), share
            if self.seen[kind] < AT_ONCE.get(event.what, 1):
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


tally = Tally()


def note(request: HttpRequest, what: str, *, about: models.Model | None = None, **details: Any) -> None:
    """Record or count a denial. If the database refuses it, that is logged, and the response does not fail."""
    event = audit.of_request(request, what, about=about, **details)
    try:
        if details.get("status") == HTTPStatus.UNAUTHORIZED and (ended := _ended_key(request)):
            event.about, event.about_id = About.API_KEY.value, ended
        if rows := tally.rows(event):
            with transaction.atomic():
                AuditEvent.objects.bulk_create(rows)
    except DatabaseError:
        logger.warning("A denial (%s) could not be put on record.", what, exc_info=True)


def _ended_key(request: HttpRequest) -> int | None:
    """Return the id of the revoked or expired key that was sent, if it is one.

    Call it for a 401 only: behind a 429 no key is looked up, since it may be a guess.
    """
    sent = request.headers.get(HEADER, "")
    if not keys.is_well_formed(sent):
        return None
    return ApiKey.objects.filter(digest=keys.digest(sent)).values_list("pk", flat=True).first()


def _requested(request: HttpRequest) -> dict[str, Any]:
    """Return the method and the route. The path itself may contain anything."""
    match = request.resolver_match
    return {"method": request.method, "route": match.route if match else ""}


def _is_outside_scope(request: HttpRequest) -> bool:
    """Return whether a caller with a scope requested an object by an id that does not exist or is outside the scope.

    Both have the same 404, so both are recorded.
    """
    match = request.resolver_match
    if match is None or not (BY_ID & match.kwargs.keys() or match.route.strip("/") == "api/device"):
        return False
    key, user = getattr(request, "auth", None), getattr(request, "user", None)
    if isinstance(key, ApiKey):
        return key.hospital_id is not None
    return bool(user and user.is_staff and not user.is_superuser)


def _without_caller(event: AuditEvent) -> AuditEvent:
    summed = {name: event.details[name] for name in SUMMED if name in event.details}
    return AuditEvent(what=event.what, through=event.through, details={"from": "many others", **summed})


def _kind(event: AuditEvent) -> Any:
    network = None if event.what in BY_CALLER else network_of(event.address)
    caller = event.user_id, event.api_key_id, event.about_id, network
    return event.what, event.details.get("status"), caller
