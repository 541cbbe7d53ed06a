"""GET /api/devices/changes: the change feed."""

from functools import cache, partial
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
from devices.api.exceptions import CursorExpired
from devices.api.pagination import parse_size, size_in_link
from devices.api.query_params import QueryParams
from devices.api.schema import operations, parameters
from devices.crypto import cursors
from devices.crypto.cursors import Cursor
from devices.history import feed
from devices.history.feed import Event
from devices.models import Device
from devices.values.error_codes import ErrorCode

PARAMETERS = {"since", "size", "wait"}
NOW = "now"


class ChangeViewSet(GenericViewSet[Device]):
    """Return the changes of devices in the scope of the key."""

    http_method_names = ("get", "head")

    @operations.documented_changes
    def follow(self, request: Request) -> HttpResponse:
        query = QueryParams(request, PARAMETERS)
        size = parse_size(query)
        wait = query.integer("wait", 0, parameters.MAX_WAIT, 0)
        key, state = key_of(request), feed.state()
        scope = scopes.scope_for_key(key).number
        cursor = _cursor(query, state, scope)
        query.raise_errors()
        if cursor.scope != scope or feed.is_expired(cursor, state.pruned_to):
            raise CursorExpired
        read = partial(
            feed.read_page,
            size=size,
            scope=scopes.scope_for_key(key),
            representation=representation(key.naming),
            pruned_to=state.pruned_to,
        )
        try:
            page = read(cursor.position)
        except feed.PositionInFuture as ahead:
            raise CursorExpired from ahead
        if not page.events and wait:
            page = long_polling.wait_for_changes(key.pk, read, page, wait)
            if scopes.scope_for_key(refresh_key(request)).number != scope:
                raise CursorExpired
        if feed.is_expired(cursor, feed.state().pruned_to):  # `prune` writes this before it deletes changes
            raise CursorExpired

        def cursor_at(position: int) -> str:
            return cursors.encode(cursor._replace(position=position), state.key)

        data = orjson.Fragment(f"[{','.join(_event(event, cursor_at(event.position)) for event in page.events)}]")
        end = cursor_at(page.end)
        following = {"since": end} | size_in_link(size) | ({"wait": wait} if wait else {})
        url = request.build_absolute_uri(f"{request.path}?{urlencode(following)}")
        pagination = {"size": size, "cursor": end, "next": url}
        return links.set_pages(responses.success(data, _("Changes returned."), pagination=pagination), pagination)


def _cursor(query: QueryParams, state: feed.State, scope: int) -> Cursor:
    """Return the cursor to start from: the one in `since`, the current one for `now`, or else the first."""
    since = query.sent.get("since")
    if not since:
        return Cursor(0, state.pruned_to, scope)
    if since == NOW:
        return Cursor(feed.stable_watermark(), state.pruned_to, scope)
    try:
        return cursors.decode(since, state.key)
    except ValueError:
        query.add("since", ErrorCode.CURSOR, _("Invalid cursor. Omit since to start from the beginning."))
        return Cursor(0, 0, scope)


@cache  # one function for each naming: the compiled SQL of the feed is cached by it
def representation(naming: str) -> feed.Representation:
    return lambda holder: (Milliseconds("history_date"), DeviceJSON(naming, holder))


def _event(event: Event, cursor: str) -> str:
    return f'{{"cursor":"{cursor}","action":"{event.action}","at":{event.at},"device":{event.device}}}'
