"""What was denied, on record: with no way to fill the disk, or to make an answer fail, by being denied again and again.

The first event of a kind (what, by whom, from which network) is written at once. Those after it within the minute are
counted, and the number is written once the minute is over and something else is denied. An IPv6 address counts as its
/64, which one client has.

A process writes at most MOST_A_MINUTE kinds of one event and status a minute. Beyond that they are one row without an
address. Each event and status has a share of its own, so a flood of one cannot hide another.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.db import DatabaseError, models, transaction
from django.http import HttpRequest, HttpResponse

from devices import audit, conflict_limits, keys
from devices.audit import What
from devices.models import ApiKey, AuditEvent
from devices.origin import network_of

HEADER = "x-api-key"
DENIALS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
MINUTE = 60.0  # seconds
MOST_A_MINUTE = 30  # rows of a process, for each event and status
BY_CALLER = {What.OUTSIDE_SCOPE, What.CONFLICTS_OUTSIDE_SCOPE}  # one kind for each caller, from whichever network
SUMMED = "conflicts", "unchecked"  # details of a kind that are added up
BY_ID = {"id_device", "object_id", "upload_id"}  # what routes call the id of an object
# Rows of one kind within a minute: as many as it takes to be locked; else one.
AT_ONCE = {What.SIGN_IN_FAILED: 5, What.PASSWORD_REFUSED: 5}

logger = logging.getLogger(__name__)


class AuditMiddleware:
    """Let whatever this thread writes know its request, and put on record that a request was denied."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = audit.current_request.set(request)
        try:
            response = self.get_response(request)
            if numbers := conflict_limits.settle(request):
                note(request, What.CONFLICTS_OUTSIDE_SCOPE, **numbers)
            recorded = getattr(request, "axes_locked_out", False) or getattr(request, "denial_recorded", False)
            if response.status_code in DENIALS and not recorded:
                note(request, What.DENIED, status=response.status_code, **_asked_for(request))
            elif response.status_code == HTTPStatus.NOT_FOUND and _is_outside_scope(request):
                note(request, What.OUTSIDE_SCOPE, **_asked_for(request))
        finally:
            audit.current_request.reset(token)
        return response


class Tally:
    """What was denied within this minute: decides which rows are written, and with which counts."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.began = -MINUTE
        self.seen: dict[Any, int] = {}
        self.shares: Counter[Any] = Counter()  # rows by event and status
        self.unwritten: dict[Any, tuple[AuditEvent, int]] = {}

    def rows(self, event: AuditEvent) -> list[AuditEvent]:
        with self.lock:
            rows = self._minute_is_over() if time.monotonic() - self.began >= MINUTE else []
            kind = _kind(event)
            share = event.what, event.details.get("status")
            if self.shares[share] >= MOST_A_MINUTE and kind not in self.seen:
                event, kind = _many_others(event), ("many others", *share)
            if self.seen.get(kind, 0) < AT_ONCE.get(What(event.what), 1):
                self.seen[kind] = self.seen.get(kind, 0) + 1
                self.shares[share] += 1
                return [*rows, event]
            first, count = self.unwritten.get(kind, (event, 0))
            if count:
                _add_up(first, event)
            self.unwritten[kind] = first, count + 1
            return rows

    def _minute_is_over(self) -> list[AuditEvent]:
        rows = []
        for event, count in self.unwritten.values():
            event.details["count"] = count
            rows.append(event)
        self.began, self.seen, self.unwritten = time.monotonic(), {}, {}
        self.shares.clear()
        return rows


tally = Tally()


def note(request: HttpRequest, what: str, *, about: models.Model | None = None, **details: Any) -> None:
    """Put a denial on record, if its turn has come. That it could not be is logged, and fails nothing."""
    event = audit.of_request(request, what, details=details)
    if about is not None:
        event.about, event.about_id = AuditEvent.About.PERSON, about.pk
    try:
        if (sent := _opening_nothing(request, details)) is not None:
            event.about_id = ApiKey.objects.filter(digest=keys.digest(sent)).values_list("pk", flat=True).first()
            event.about = AuditEvent.About.API_KEY if event.about_id else ""  # revoked, or expired
        if rows := tally.rows(event):
            with transaction.atomic():
                AuditEvent.objects.bulk_create(rows)
    except DatabaseError:
        logger.warning("A denial (%s) could not be put on record.", what, exc_info=True)


def _opening_nothing(request: HttpRequest, details: dict[str, Any]) -> str | None:
    """Return the key of a 401 that may be one that has ended. Behind a 429 none is looked up: it may be a guess."""
    sent = request.headers.get(HEADER)
    return sent if sent and details.get("status") == HTTPStatus.UNAUTHORIZED and keys.is_well_formed(sent) else None


def _asked_for(request: HttpRequest) -> dict[str, Any]:
    """Return what was asked for: the route, not the address, which may hold anything."""
    match = request.resolver_match
    return {"method": request.method, "route": match.route if match else ""}


def _is_outside_scope(request: HttpRequest) -> bool:
    """Tell whether a caller with a scope has requested an object by an id, which is not there or outside the scope.

    Both return the same 404, so both are counted. A caller without limits has nothing outside.
    """
    match = request.resolver_match
    if match is None or not (BY_ID & match.kwargs.keys() or match.route.strip("/") == "api/device"):
        return False
    key = getattr(request, "auth", None)
    if isinstance(key, ApiKey):
        return key.hospital_id is not None
    user = getattr(request, "user", None)
    return bool(user and user.is_staff and not user.is_superuser)


def _many_others(event: AuditEvent) -> AuditEvent:
    details = {name: event.details[name] for name in SUMMED if name in event.details}
    return AuditEvent(what=event.what, through=event.through, details={"from": "many others", **details})


def _add_up(first: AuditEvent, event: AuditEvent) -> None:
    for name in SUMMED:
        if name in event.details:
            first.details[name] = first.details.get(name, 0) + event.details[name]


def _kind(event: AuditEvent) -> Any:
    by = event.user_id, event.api_key_id, event.about_id
    network = None if event.what in BY_CALLER else network_of(event.address)
    return event.what, event.details.get("status"), *by, network
