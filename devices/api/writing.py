"""What every route that writes knows: to do the same request once.

A request with an Idempotency-Key is carried out once: its response is stored in the transaction of what it writes, so
there are both or neither, even if the process is killed (draft-ietf-httpapi-idempotency-key-header, as Stripe does).
An error writes nothing, so a request that failed may be repeated with its key: only the binding of the key to the
request is stored. A dry run writes nothing, so its key is read and not stored.
"""

import hashlib
import re
from collections.abc import Callable
from datetime import timedelta
from functools import cache, partial, wraps
from typing import Any, Concatenate, ParamSpec

import orjson
from django.db.models import DateTimeField
from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException, ParseError
from rest_framework.request import Request

from devices import sql
from devices.api import etags, limits, patterns
from devices.api.authentication import key_of
from devices.api.envelope import JSONRenderer
from devices.api.errors import KeyReused, StillRunning
from devices.models import IDEMPOTENCY_KEY_LENGTH, ApiKey, RememberedAnswer
from devices.prepared import Parameter, Prepared
from devices.problems import Problem, Refused
from devices.transactions import in_one_transaction

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEPT = timedelta(hours=24)
TOLD = ("status", "etag", "body")

_VISIBLE = re.compile(patterns.IDEMPOTENCY_KEY)

P = ParamSpec("P")
Act = Callable[[], HttpResponse]


def writes(action: Callable[Concatenate[Any, Request, P], HttpResponse]) -> Any:
    """Let a viewset's action be done once for one Idempotency-Key."""

    @wraps(action)
    def run(view: Any, request: Request, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        key = _read_key(request)
        limits.admit_devices(request, key_of(request), _number_of_devices(request))  # before any transaction
        act = partial(action, view, request, *args, **kwargs)
        if key is None or view.dry_run:
            return act()
        response = _once(key_of(request), key, _fingerprint(request), partial(_answer, view, act))
        if REPLAYED not in response:
            limits.use_storage(key_of(request), 0 if _is_error(response.status_code) else len(response.content))
        return response

    return run


@in_one_transaction
def _once(api_key: ApiKey, key: str, fingerprint: str, act: Act) -> HttpResponse:
    """Return the stored response to this key of the API key; if there is none, act.

    1. Lock the key until the transaction ends. If another request has it, that one is still running.
    2. If the last 24 hours have a response that reports success, return it. An older one is overwritten.
    3. Act, and store the response in the same transaction. Of an error, store the fingerprint and the status only:
       it wrote nothing, so the same request is simply executed again. A database error stores nothing.

    Raises:
        StillRunning: the first request with this key has no response yet.
        KeyReused: the key came with another request before.
        TooManyRequests: the API key has stored too much; nothing is written.
    """
    if not sql.try_lock(f"{api_key.pk}:{key}"):
        raise StillRunning
    known = _remembered().rows(api_key=api_key.pk, key=key, since=timezone.now() - KEPT)
    if known:
        [(kept_fingerprint, *told)] = known
        if kept_fingerprint != fingerprint:
            raise KeyReused
        if not _is_error(told[0]):
            response = _respond(*told)
            response[REPLAYED] = "true"
            return response
    limits.refuse_storage(api_key)
    answer = act()
    failed = _is_error(answer.status_code)
    told = [answer.status_code, *(("", b"") if failed else (answer.get("ETag", ""), answer.content))]
    values = {"fingerprint": fingerprint, "created_at": timezone.now(), **dict(zip(TOLD, told, strict=True))}
    RememberedAnswer.objects.bulk_create(
        [RememberedAnswer(api_key=api_key, key=key, **values)],
        update_conflicts=True,
        unique_fields=["api_key", "key"],
        update_fields=[*values],
    )
    return answer if failed else _respond(*told)


def _is_error(status: int) -> bool:
    return status >= 400


@cache
def _remembered() -> Prepared:
    since = Parameter("since", DateTimeField())
    answers = RememberedAnswer.objects.filter(api_key=Parameter("api_key"), key=Parameter("key"), created_at__gt=since)
    return Prepared(answers.values_list("fingerprint", *TOLD))


def _answer(view: Any, act: Act) -> HttpResponse:
    """Return what the action answers; what it refuses is an answer too."""
    try:
        return act()
    except (Refused, APIException) as exc:
        return view.handle_exception(exc)  # type: ignore[no-any-return]


def _respond(status: int, etag: str, body: bytes) -> HttpResponse:
    response = HttpResponse(bytes(body), status=status, content_type=JSONRenderer.media_type)
    return etags.put_on(response, etag)


def _fingerprint(request: Request) -> str:
    """Return a digest of what is asked for. A body that says the same in another spelling of JSON is the same.

    Raises:
        ParseError: orjson reads deeper than it writes (1024 and 254).
    """
    try:
        body = b"" if request.method == "DELETE" else orjson.dumps(request.data, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise ParseError(_("The body is nested too deeply for a request with an Idempotency-Key.")) from error
    route = request.get_full_path().replace("/?", "?").rstrip("/")
    if_match = request.headers.get("If-Match")
    asked = [request.method or "", route, "" if if_match is None else if_match or "an empty one"]
    return hashlib.sha256("\0".join(asked).encode() + b"\0" + body).hexdigest()


def _number_of_devices(request: Request) -> int:
    return len(request.data) if request.method == "POST" and isinstance(request.data, list) else 1


def _read_key(request: Request) -> str | None:
    """Return the request's Idempotency-Key.

    Raises:
        Refused: it is empty, too long, or not of visible characters.
    """
    sent = request.headers.get(HEADER)
    if sent is None or (len(sent) <= IDEMPOTENCY_KEY_LENGTH and _VISIBLE.fullmatch(sent)):
        return sent
    message = _("An Idempotency-Key has 1 to %(limit)d visible ASCII characters.") % {"limit": IDEMPOTENCY_KEY_LENGTH}
    raise Refused([Problem(HEADER.lower(), "invalid", message)])
