"""GET /api/devices/changes: what happened to the devices after a cursor."""

from functools import cache, partial
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
from devices.api.naming import NAMINGS
from devices.api.pagination import DEFAULT_SIZE, MAX_SIZE
from devices.api.query_params import QueryParams
from devices.cursors import Cursor
from devices.feed import Event
from devices.models import Device

PARAMETERS = {"since", "size", "wait"}
NOW = "now"


class ChangeViewSet(GenericViewSet[Device]):
    """Return what happened to the devices, within the scope of the request's key."""

    http_method_names = ("get", "head")

    @schema.followed
    def follow(self, request: Request) -> HttpResponse:
        query = QueryParams(request, PARAMETERS)
        size = query.whole_number("size", 1, MAX_SIZE, DEFAULT_SIZE)
        wait = query.whole_number("wait", 0, schema.MAX_WAIT, 0)
        key, state = key_of(request), feed.state()
        scope = key.hospital_id or 0
        cursor = _cursor(query, state, scope)
        query.raise_errors()
        if cursor.scope != scope or feed.is_too_old(cursor, state.pruned_to):
            raise CursorTooOld
        read = partial(
            feed.read,
            size=size,
            reach=reach.of_key(key),
            representation=representation(key.naming),
            pruned_to=state.pruned_to,
        )
        try:
            page = read(cursor.position)
        except feed.Ahead as ahead:
            raise CursorTooOld from ahead
        if not page.events and wait:
            page = waiting.until_there_is_something(key.pk, read, page, wait)
            if look_up_again(request).hospital_id != key.hospital_id:
                raise CursorTooOld
        if feed.is_too_old(cursor, feed.state().pruned_to):  # `prune` writes this before it removes anything
            raise CursorTooOld

        def cursor_at(position: int) -> str:
            return cursors.write(cursor._replace(position=position), state.key)

        data = orjson.Fragment(f"[{','.join(_event(event, cursor_at(event.position)) for event in page.events)}]")
        following = {"since": cursor_at(page.end), "size": size} | ({"wait": wait} if wait else {})
        url = request.build_absolute_uri(f"{request.path}?{urlencode(following)}")
        return envelope.success(data, _("Changes found."), pagination={"size": size, "next": url})


def _cursor(query: QueryParams, state: feed.State, scope: int) -> Cursor:
    """Return where to begin: at the cursor that was sent, now, or at the first change."""
    since = query.sent.get("since")
    if not since:
        return Cursor(0, state.pruned_to, scope)
    if since == NOW:
        return Cursor(feed.settled(), state.pruned_to, scope)
    try:
        return cursors.read(since, state.key)
    except ValueError:
        query.add("since", "cursor", _("Invalid cursor. Omit `since` to start from the beginning."))
        return Cursor(0, 0, scope)


@cache  # one function for each naming: the feed's compiled SQL is found by it
def representation(naming: str) -> feed.Representation:
    return lambda holder: (Milliseconds("history_date"), AsJSON(NAMINGS[naming], holder))


def _event(event: Event, cursor: str) -> str:
    return f'{{"cursor":"{cursor}","action":"{event.action}","at":{event.at},"device":{event.device}}}'
