"""Execute a request with an Idempotency-Key once, also if the client sends it several times.

The response is stored in the transaction of the write, so both are committed or neither, even if the process is killed
(draft-ietf-httpapi-idempotency-key-header; Stripe does the same). A failed request has written nothing, and can be
retried with its key: only the fingerprint of the request and the status are stored. A dry run stores nothing.
"""

import hashlib
import re
from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import cache, partial, wraps
from typing import Any, Concatenate, ParamSpec

import orjson
from django.db.models import DateTimeField
from django.http import HttpResponse
from django.utils.timezone import now
from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from devices.api import throttling
from devices.api.authentication import key_of
from devices.api.exceptions import IdempotencyKeyReused, NestedTooDeeply, RequestInProgress
from devices.api.query_params import QueryParams
from devices.api.schema import patterns
from devices.db import locks
from devices.db.compiled import CompiledQuery, Parameter
from devices.db.transactions import atomic_with_retry
from devices.models import IDEMPOTENCY_KEY_LENGTH, ApiKey, IdempotencyRecord
from devices.models.idempotency import RESPONSE_LIFETIME
from devices.values.error_codes import ErrorCode
from devices.values.errors import FieldError, ValidationFailed

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
OF_UPDATES = {"dry_run", "unknown_holder"}
BATCH_PARAMETERS = OF_UPDATES | {"on_conflict"}  # of POST /api/devices/batch
PARAMETERS = {
    "POST": OF_UPDATES | {"mode", "on_conflict"},
    "PUT": OF_UPDATES,
    "PATCH": OF_UPDATES,
    "DELETE": {"dry_run"},
}
UNKNOWN_HOLDER = tuple(ApiKey.UnknownHolder.values)
REFUSE = ApiKey.UnknownHolder.REFUSE

_VISIBLE = re.compile(patterns.IDEMPOTENCY_KEY)

P = ParamSpec("P")
ViewAction = Callable[[], HttpResponse]


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """The query parameters of a write. Not every method has all of them.

    refuse_unknown: reject devices of unknown hospitals. The setting of the key or the parameter is sufficient, so a
        request cannot lift the restriction of its key.
    """

    dry_run: bool
    partial: bool = False
    update_known: bool = False
    refuse_unknown: bool = False

    @classmethod
    def parse(cls, request: Request, known: Set[str] | None = None) -> "WriteOptions":
        """Return the options of the request. `known` are its parameters, if they differ from those of its method."""
        query = QueryParams(request, known or PARAMETERS[request.method or ""])
        dry_run = query.boolean("dry_run")
        partial = query.choice("mode", ("all", "partial")) == "partial"
        update_known = query.choice("on_conflict", ("refuse", "update")) == "update"
        unknown_holder = query.choice("unknown_holder", UNKNOWN_HOLDER)
        query.raise_errors()
        refuse_unknown = REFUSE in (unknown_holder, key_of(request).unknown_holder)
        return cls(dry_run, partial, update_known, refuse_unknown)

    def message(self, done: str) -> str:
        """Return the message of a successful response: `done`, or that of a dry run."""
        return _("Dry run: this would happen. Nothing was changed.") if self.dry_run else done


def idempotent(
    action: Callable[Concatenate[Any, Request, WriteOptions, P], HttpResponse], parameters: Set[str] | None = None
) -> Any:
    """Execute the action of a view once for each Idempotency-Key, and pass it the WriteOptions.

    `parameters` are the query parameters of the action, if they differ from those of its method.
    """

    @wraps(action)
    def run(view: Any, request: Request, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        options = WriteOptions.parse(request, parameters)
        api_key, key = key_of(request), _parse_key(request)
        throttling.consume_devices(request, api_key, _number_of_devices(request))  # before any transaction
        act = partial(action, view, request, options, *args, **kwargs)
        if key is None or options.dry_run:
            return act()
        response = _run_once(api_key, key, _fingerprint(request), partial(_respond, view, act))
        if REPLAYED not in response:
            throttling.consume_storage(api_key, 0 if _is_error(response.status_code) else len(response.content))
        return response

    return run


@atomic_with_retry
def _run_once(api_key: ApiKey, key: str, fingerprint: str, act: ViewAction) -> HttpResponse:
    """Return the stored response for this Idempotency-Key of the API key. If there is none, execute the action.

    1. Lock the Idempotency-Key until the transaction ends. If it is locked, the first request is still running.
    2. If a success response was stored in the last 24 hours, return it. An older one is overwritten. The query locks
       the row, so the commit waits for the standby, if there is one. The first request may not be replicated yet.
    3. Execute the action, and store its response in the same transaction. For an error, store only the fingerprint and
       the status: it has written nothing, so the same request is executed again. A database error stores nothing.

    Raises:
        RequestInProgress: the first request with this Idempotency-Key is still running.
        IdempotencyKeyReused: the Idempotency-Key was used for a different request.
        TooManyRequests: the API key has stored too many bytes; nothing is written.
    """
    if not locks.try_lock(f"{api_key.pk}:{key}"):
        raise RequestInProgress
    for stored_fingerprint, status, etag, body in _stored_response().fetch(
        api_key=api_key.pk, key=key, since=now() - RESPONSE_LIFETIME
    ):
        if stored_fingerprint != fingerprint:
            raise IdempotencyKeyReused
        if not _is_error(status):
            headers = {REPLAYED: "true"} | ({"ETag": etag} if etag else {})
            return HttpResponse(bytes(body), status=status, content_type="application/json", headers=headers)
    throttling.block_storage(api_key)
    response = act()
    _store(api_key, key, fingerprint, response)
    return response


@cache
def _stored_response() -> CompiledQuery:
    """Return the compiled query for a stored response. To compile it each time takes a third of the CPU of a POST."""
    since, records = Parameter("since", DateTimeField()), IdempotencyRecord.objects.select_for_update()
    known = records.filter(api_key=Parameter("api_key"), key=Parameter("key"), created_at__gt=since)
    return CompiledQuery(known.values_list("fingerprint", "status", "etag", "body"))


def _store(api_key: ApiKey, key: str, fingerprint: str, response: HttpResponse) -> None:
    status = response.status_code
    etag, body = ("", b"") if _is_error(status) else (response.get("ETag", ""), response.content)
    record = IdempotencyRecord(api_key=api_key, key=key, fingerprint=fingerprint, status=status, etag=etag, body=body)
    IdempotencyRecord.objects.bulk_create(
        [record],
        update_conflicts=True,
        unique_fields=["api_key", "key"],
        update_fields=["fingerprint", "status", "etag", "body", "created_at"],
    )


def _is_error(status: int) -> bool:
    return status >= 400


def _respond(view: Any, act: ViewAction) -> HttpResponse:
    """Return the response of the action. An exception of the API becomes an error response."""
    try:
        return act()
    except (ValidationFailed, APIException) as exc:
        return view.handle_exception(exc)  # type: ignore[no-any-return]


def _fingerprint(request: Request) -> str:
    """Return a digest of the method, the URL, the body and If-Match. The formatting of the JSON does not matter.

    Raises:
        NestedTooDeeply: orjson parses 1,024 levels, but serializes only 254.
    """
    try:
        body = b"" if request.method == "DELETE" else orjson.dumps(request.data, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise NestedTooDeeply from error
    route = request.get_full_path().replace("/?", "?").rstrip("/")
    if_match = request.headers.get("If-Match")
    parts = [request.method or "", route, "" if if_match is None else if_match or "empty"]
    return hashlib.sha256("\0".join(parts).encode() + b"\0" + body).hexdigest()


def _number_of_devices(request: Request) -> int:
    return len(request.data) if request.method == "POST" and isinstance(request.data, list) else 1


def _parse_key(request: Request) -> str | None:
    """Return the request's Idempotency-Key.

    Raises:
        ValidationFailed: it is empty, too long, or has characters that are not printable ASCII.
    """
    sent = request.headers.get(HEADER)
    if sent is None or (len(sent) <= IDEMPOTENCY_KEY_LENGTH and _VISIBLE.fullmatch(sent)):
        return sent
    message = _("Send 1 to %(limit)d printable ASCII characters, for example a UUID.") % {
        "limit": IDEMPOTENCY_KEY_LENGTH
    }
    raise ValidationFailed([FieldError(HEADER.lower(), ErrorCode.INVALID_IDEMPOTENCY_KEY, message)])
