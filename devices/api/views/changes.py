"""GET /api/devices/changes: the change feed. GET /api/device/{id_device}/changes: that of one device."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any
from urllib.parse import urlencode

import orjson
from django.http import HttpResponse
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from devices.access import scopes
from devices.api import links, long_polling, responses
from devices.api.authentication import key_of, refresh_key
from devices.api.device_json import DeviceJSON, Milliseconds
from devices.api.exceptions import CursorExpired, DeviceNotFound
from devices.api.pagination import parse_size, size_in_link
from devices.api.query_params import QueryParams
from devices.api.schema import operations, parameters
from devices.crypto import cursors
from devices.crypto.cursors import Cursor
from devices.history import feed, recording
from devices.history.feed import Event
from devices.models import MAX_ID, ApiKey, Device
from devices.values.error_codes import ErrorCode
from devices.values.scope import Scope

PARAMETERS = {"since", "size", "wait"}
DEVICE_PARAMETERS = {"since", "size"}
NOW = "now"
UNKNOWN = Cursor(position=0, pruned_to=0, scope=-1)  # of no scope, so `_check` raises CursorExpired


class ChangeViewSet(GenericViewSet[Device]):
    """Return the changes of devices in the scope of the key."""

    http_method_names = ("get", "head")

    @operations.documented_changes
    def follow(self, request: Request) -> HttpResponse:
        query = QueryParams(request, PARAMETERS)
        size = parse_size(query)
        wait = query.integer("wait", 0, parameters.MAX_WAIT, 0)
        key, state = key_of(request), feed.state()
        scope = scopes.scope_for_key(key)
        cursor = _cursor(query, state, scope.number)
        query.raise_errors()
        _check(cursor, scope, state.pruned_to)
        read = _reader(key, state, size)
        page = _read(read, cursor)
        if not page.events and wait:
            page = long_polling.wait_for_changes(key.pk, read, page, wait)
            if scopes.scope_for_key(refresh_key(request)).number != scope.number:
                raise CursorExpired
        _check(cursor, scope, feed.state().pruned_to)  # `prune` writes this before it deletes changes
        end = _text(cursor, page.end, state)
        following = {"since": end} | size_in_link(size) | ({"wait": wait} if wait else {})
        return _page(page.events, cursor, state, {"size": size, "cursor": end, "next": _url(request, following)})

    @operations.documented_device_changes
    def of_device(self, request: Request, id_device: int) -> HttpResponse:
        """Return the changes of one device, the oldest first, as the feed of the key has them.

        A device that is foreign or unknown takes the same queries, and returns the same 404.
        """
        query = QueryParams(request, DEVICE_PARAMETERS)
        size = parse_size(query)
        key, state = key_of(request), feed.state()
        scope = scopes.scope_for_key(key)
        cursor = _cursor(query, state, scope.number, allows_now=False)
        query.raise_errors()
        _check(cursor, scope, state.pruned_to)
        pk = id_device if id_device <= MAX_ID else 0
        if not (Device.objects.in_scope(scope).filter(pk=pk).exists() or recording.was_retired(pk, scope)):
            raise DeviceNotFound
        events = _read(_reader(key, state, size + 1, pk), cursor).events
        _check(cursor, scope, feed.state().pruned_to)
        has_more, events = len(events) > size, events[:size]
        end = _text(cursor, events[-1].position, state) if has_more else None
        url = _url(request, {"since": end} | size_in_link(size)) if end else None
        return _page(events, cursor, state, {"size": size, "cursor": end, "next": url})


def _check(cursor: Cursor, scope: Scope, pruned_to: int) -> None:
    """Raise CursorExpired if the cursor is unknown or one of another scope, or changes after it have been pruned."""
    if cursor.scope != scope.number or feed.is_expired(cursor, pruned_to):
        raise CursorExpired


def _reader(key: ApiKey, state: feed.State, size: int, device_id: int | None = None) -> Callable[[int], feed.Page]:
    """Return a function that reads the page after a position, of all devices or of one."""
    return partial(
        feed.read_page,
        size=size,
        scope=scopes.scope_for_key(key),
        representation=representation(key.naming),
        pruned_to=state.pruned_to,
        device_id=device_id,
    )


def _read(read: Callable[[int], feed.Page], cursor: Cursor) -> feed.Page:
    try:
        return read(cursor.position)
    except feed.PositionInFuture as ahead:
        raise CursorExpired from ahead


def _text(cursor: Cursor, position: int, state: feed.State) -> str:
    """Return the cursor of a client, moved to a position."""
    return cursors.encode(cursor._replace(position=position), state.key)


def _page(events: list[Event], cursor: Cursor, state: feed.State, pagination: dict[str, Any]) -> HttpResponse:
    """Return the response with the events."""
    rows = (_event(event, _text(cursor, event.position, state)) for event in events)
    response = responses.success(orjson.Fragment(f"[{','.join(rows)}]"), _("Changes returned."), pagination=pagination)
    return links.set_pages(response, pagination)


def _url(request: Request, following: dict[str, Any]) -> str:
    return str(request.build_absolute_uri(f"{request.path}?{urlencode(following)}"))


def _cursor(query: QueryParams, state: feed.State, scope: int, *, allows_now: bool = True) -> Cursor:
    """Return the cursor to start from: the one in `since`, the current one for `now`, or else the first."""
    since = query.sent.get("since")
    if not since:
        return Cursor(0, state.pruned_to, scope)
    if since == NOW and allows_now:
        return Cursor(feed.stable_watermark(), state.pruned_to, scope)
    try:
        return cursors.decode(since, state.key)
    except cursors.UnknownCursor:
        return UNKNOWN
    except ValueError:
        query.add("since", ErrorCode.CURSOR, _("Invalid cursor. Omit since to start from the beginning."))
        return Cursor(0, 0, scope)


@cache  # one function for each naming: the compiled SQL of the feed is cached by it
def representation(naming: str) -> feed.Representation:
    return lambda holder: (Milliseconds("history_date"), DeviceJSON(naming, holder))


def _event(event: Event, cursor: str) -> str:
    return f'{{"cursor":"{cursor}","action":"{event.action}","at":{event.at},"device":{event.device}}}'
