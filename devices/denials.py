"""What was denied, on record: with no way to fill the disk, or to make an answer fail, by being denied again and again.

A process writes at most so many rows a minute. The first of a kind (what, by whom, from where) is written at once;
those after it within the minute are counted, and the number is written once the minute is over and something else is
denied. An IPv6 address stands for its /64, which one client has. What is over MOST_A_MINUTE is one row, from nowhere.
"""

import logging
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.db import DatabaseError, models, transaction
from django.http import HttpRequest, HttpResponse

from devices import audit, keys
from devices.audit import What
from devices.models import ApiKey, AuditEvent
from devices.origin import network_of

HEADER = "x-api-key"
DENIALS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
MINUTE = 60.0  # seconds
MOST_A_MINUTE = 30  # rows of a process
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
            recorded = getattr(request, "axes_locked_out", False) or getattr(request, "denial_recorded", False)
            if response.status_code in DENIALS and not recorded:
                note(request, What.DENIED, status=response.status_code, **_asked_for(request))
        finally:
            audit.current_request.reset(token)
        return response


class Tally:
    """What was denied within this minute: decides which rows are written, and with which counts."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.began = -MINUTE
        self.seen: dict[Any, int] = {}
        self.unwritten: dict[Any, tuple[AuditEvent, int]] = {}

    def rows(self, event: AuditEvent) -> list[AuditEvent]:
        with self.lock:
            rows = self._minute_is_over() if time.monotonic() - self.began >= MINUTE else []
            kind = _kind(event)
            if sum(self.seen.values()) >= MOST_A_MINUTE and kind not in self.seen:
                event = AuditEvent(what=event.what, through=event.through, details={"from": "many others"})
                kind = _kind(event)
            if self.seen.get(kind, 0) < AT_ONCE.get(What(event.what), 1):
                self.seen[kind] = self.seen.get(kind, 0) + 1
                return [*rows, event]
            first, count = self.unwritten.get(kind, (event, 0))
            self.unwritten[kind] = first, count + 1
            return rows

    def _minute_is_over(self) -> list[AuditEvent]:
        rows = []
        for event, count in self.unwritten.values():
            event.details["count"] = count
            rows.append(event)
        self.began, self.seen, self.unwritten = time.monotonic(), {}, {}
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
    return sent if sent and details.get("status") == HTTPStatus.UNAUTHORIZED and keys.is_plausible(sent) else None


def _asked_for(request: HttpRequest) -> dict[str, Any]:
    """Return what was asked for: the route, not the address, which may hold anything."""
    match = request.resolver_match
    return {"method": request.method, "route": match.route if match else ""}


def _kind(event: AuditEvent) -> Any:
    by = event.user_id, event.api_key_id, event.about_id
    return event.what, event.details.get("status"), *by, network_of(event.address)
