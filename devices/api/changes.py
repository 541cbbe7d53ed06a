"""GET /api/devices/changes: what happened to the devices after a cursor, and what comes."""

from functools import cache, partial
from typing import Any
from urllib.parse import urlencode

import orjson
from django.http import HttpResponse
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from devices import cursors, feed, reach
from devices.api import envelope, schema, waiting
from devices.api.as_json import AsJSON, Milliseconds
from devices.api.authentication import key_of, look_up_again
from devices.api.errors import CursorTooOld
from devices.api.filters import check_parameters, whole_number
from devices.api.naming import NAMINGS
from devices.api.pagination import DEFAULT_SIZE, MAX_SIZE
from devices.cursors import Cursor
from devices.feed import Event
from devices.models import Device
from devices.problems import Problem, Refused

PARAMETERS = {"since", "size", "wait"}
NOW = "now"


class ChangeViewSet(GenericViewSet[Device]):
    """Follow what happens to the devices, within the reach of the request's key."""

    http_method_names = ("get", "head")

    @schema.followed
    def follow(self, request: Request) -> HttpResponse:
        problems = check_parameters(request, PARAMETERS)
        size = whole_number(request.query_params, "size", 1, MAX_SIZE, problems, DEFAULT_SIZE)
        wait = whole_number(request.query_params, "wait", 0, schema.MAX_WAIT, problems, 0)
        key = key_of(request)
        state = feed.state()
        self.key = state.key
        cursor = self._cursor(request.query_params.get("since"), state.pruned_to, problems)
        if problems:
            raise Refused(problems)
        if cursor.scope != self._scope() or feed.is_too_old(cursor, state.pruned_to):
            raise CursorTooOld
        within, telling = reach.of_key(key), _telling(key.naming)
        read = partial(feed.read, size=size, reach=within, telling=telling, pruned_to=state.pruned_to)
        try:
            page = read(cursor.position)
        except feed.Ahead as ahead:
            raise CursorTooOld from ahead
        if not page.events and wait:
            page = waiting.until_there_is_something(key.pk, read, page, wait)
            if look_up_again(request).hospital_id != key.hospital_id:
                raise CursorTooOld
        if feed.is_too_old(cursor, feed.pruned_to()):  # pruned while we read; that is noted before it is done
            raise CursorTooOld
        pen = cursors.Pen(cursor, self.key)
        data = orjson.Fragment(f"[{','.join(_event(event, pen) for event in page.events)}]")
        following = {"since": pen.write(page.end), "size": size} | ({"wait": wait} if wait else {})
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


class Telling:
    """Have the database tell instants in milliseconds and devices as JSON, in the key's naming."""

    def __init__(self, naming: str) -> None:
        self.names = NAMINGS[naming]

    def instant(self, name: str) -> Milliseconds:
        return Milliseconds(name)

    def device(self, holder: Any) -> AsJSON:
        return AsJSON(self.names, holder)


_telling = cache(Telling)  # one each: what the feed has prepared for it is found by it


def _event(event: Event, pen: cursors.Pen) -> str:
    cursor = pen.write(event.position)
    return f'{{"cursor":"{cursor}","action":"{event.action}","at":{event.at},"device":{event.device}}}'
