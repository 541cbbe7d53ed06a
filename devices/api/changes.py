"""GET /api/devices/changes: what happened to the devices after a cursor, and what comes."""

from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from devices import cursors, feed, reach
from devices.api import envelope, schema, waiting
from devices.api.authentication import key_of
from devices.api.errors import CursorTooOld
from devices.api.filters import check_parameters, whole_number
from devices.api.naming import FIELDS, spelling
from devices.api.pagination import DEFAULT_SIZE, MAX_SIZE
from devices.api.serializers import milliseconds
from devices.cursors import Cursor
from devices.drafts import UNKNOWN
from devices.feed import Event, Row
from devices.models import Device
from devices.problems import Problem, Refused

PARAMETERS = {"since", "size", "wait"}
NOW = "now"


class ChangeViewSet(GenericViewSet[Device]):
    """Follow what happens to the devices, within the reach of the request's key."""

    @schema.followed
    def follow(self, request: Request) -> Response:
        problems = check_parameters(request, PARAMETERS)
        size = whole_number(request, "size", 1, MAX_SIZE, problems, DEFAULT_SIZE)
        wait = whole_number(request, "wait", 0, schema.MAX_WAIT, problems, 0)
        state = feed.state()
        self.key = bytes(state.key)
        cursor = self._cursor(request.query_params.get("since"), state.pruned_to, problems)
        if problems:
            raise Refused(problems)
        if cursor.scope != self._scope() or feed.is_too_old(cursor, state.pruned_to):
            raise CursorTooOld
        read = partial(feed.read, size=size, reach=reach.of_key(key_of(request)), pruned_to=state.pruned_to)
        page = read(cursor.position)
        if not page.events and wait:
            page = waiting.until_there_is_something(read, page, wait)
        if feed.is_too_old(cursor, feed.pruned_to()):  # pruned while we read; that is noted before it is done
            raise CursorTooOld
        names = spelling(request.auth)
        data = [self._event(event, cursor, names) for event in page.events]
        following = {"since": self._write(cursor, page.end), "size": size} | ({"wait": wait} if wait else {})
        url = request.build_absolute_uri(f"{request.path}?{urlencode(following)}")
        return envelope.success(data, _("Changes found."), pagination={"size": size, "next": url})

    def _cursor(self, since: str | None, pruned_to: int, problems: list[Problem]) -> Cursor:
        """Return where to begin: at the cursor that was sent, now, or at the beginning."""
        if not since:  # left out, or told by check_parameters
            return Cursor(0, pruned_to, self._scope())
        if since == NOW:
            return Cursor(feed.settled(), pruned_to, self._scope())
        try:
            return cursors.read(since, self.key)
        except cursors.Unreadable:
            message = _("This is no cursor of this registry. Leave it out to begin at the beginning.")
            problems.append(Problem("since", "cursor", message))
            return Cursor(0, 0, 0)

    def _scope(self) -> int:
        return key_of(self.request).hospital_id or 0

    def _write(self, cursor: Cursor, position: int) -> str:
        return cursors.write(cursor._replace(position=position), self.key)

    def _event(self, event: Event, cursor: Cursor, names: Any) -> dict[str, Any]:
        return {
            "cursor": self._write(cursor, event.position),
            "action": event.action,
            "at": milliseconds(event.at),
            "device": _device(event.device, names),
        }


def _device(row: Row, names: Any) -> dict[str, Any]:
    values: Sequence[Any] = (
        row.device_id,
        row.device_name,
        row.device_mac,
        row.device_type,
        row.holder or UNKNOWN,
        milliseconds(row.created_at),
        milliseconds(row.updated_at),
    )
    return {names.get(field, field): value for field, value in zip(FIELDS, values, strict=True)}
