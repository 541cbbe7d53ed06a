"""Format log records and error reports: of limited length, without secrets, and safe to display.

LOG_FORMAT=line: a record is one line that begins with its time in UTC. The lines of its traceback follow, and each is
indented. So each line that does not begin with a space is a record, and a client cannot forge one.

LOG_FORMAT=json: a record is one line, a JSON object, with its traceback and what is known of its request.

An error that means an outage of the database has no traceback, because the code did not cause it.

The code does not log secrets, but exceptions and paths may contain them: PostgreSQL reports the row that a constraint
rejected (`DETAIL:`), a path may be a password link, and a client may send its key in the wrong place.
"""

import json
import logging
import re
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.db import Error
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter
from gunicorn.glogging import Logger

FORMAT = "{asctime} {levelname} {name} [{request_id}] {message}"
MESSAGE_LENGTH = 2_000  # characters
TRACEBACK_LENGTH = 20_000  # characters
LINE_LENGTH = 1_000  # characters of each line of a traceback
OUTAGE_LENGTH = 1_000  # characters of the message of a database error
JSON_LENGTH = 45_000  # characters of a JSON line, all of them ASCII: journald splits a line at 48 KiB
REPEAT_OUTAGES = 10.0  # seconds until a process logs an outage of the same kind again
SQLITE_ERROR = 1  # a missing table or column, for example, which is an error of the code: it keeps its traceback
LONGEST_SECRET = 300  # characters: an email address has up to 254, the password of a URL up to 256 here
CUT = " … (cut)"
CAUSED_BY_REQUESTS = "django.security."  # loggers of Django for requests that it rejects

# Every pattern must run in linear time, because clients choose the text (test_patterns_linear.py).
SECRETS = (
    (re.compile(r"(cx[pt]_)[0-9A-Za-z]{8}_[0-9A-Za-z]+"), r"\1…"),
    (re.compile(r"(/set-password/)[^\s\"']+"), r"\1…"),
    # The limit keeps the pattern linear. As in urlsplit, the last @ ends the password, which may contain others.
    (re.compile(r"(://[^\s:/@]*+:)\S{1,256}(?=@)"), r"\1…"),
    (re.compile(r"(?i)([?&\s](?:x-api-key|api_?key|key|password|token)=)[^\s&'\"]+"), r"\1…"),
    # With the lookbehind a match can start only at the start of a word, and not at each of its characters.
    (re.compile(r"(?<![\w.+-])[\w.+-]++(?:@|%40)[\w-]++(?:\.[\w-]++)++"), "…@…"),
    (re.compile(r"^(.*?\b(?:DETAIL|CONTEXT):).*$", re.MULTILINE), r"\1 …"),
)
# A text without a match has no match of SECRETS. One search instead of six halves the CPU time of the access log.
MAY_BE_SECRET = re.compile(r"[=@]|%40|cx[pt]_|/set-password/|://|DETAIL:|CONTEXT:")

# The id of the current request of the thread, or of its last one.
current_request_id = ContextVar("current_request_id", default="-")


def no_fields() -> dict[str, Any]:
    """Return the fields of a thread that processes no request."""
    return {}


# Returns what is known of the current request of the thread: access_log.py sets it. None means unknown.
current_request_fields: ContextVar[Callable[[], dict[str, Any]]] = ContextVar(
    "current_request_fields", default=no_fields
)


class _Formatter(logging.Formatter):
    """Format a record in three steps. Their order matters.

    1. Cut the text, so that the other steps handle a limited length.
    2. Remove secrets.
    3. Escape control characters and line breaks.
    """

    converter = time.gmtime  # type: ignore[assignment]
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03d+00:00"

    def __init__(self) -> None:
        super().__init__(FORMAT, style="{")

    def prepare(self, record: logging.LogRecord) -> dict[str, Any]:
        """Set the attributes that both formats use, and return the fields of an access log record."""
        message = clean(record.getMessage(), MESSAGE_LENGTH)
        if outage := _outage(record):
            message = f"{message.removesuffix('.')}: {outage}"
        if omitted := getattr(record, "omitted", 0):
            message += f" (not logged since the last such record: {omitted})"
        record.message = message
        record.asctime = self.formatTime(record)
        record.request_id = current_request_id.get()
        fields: dict[str, Any] = getattr(record, "fields", {})
        return fields

    def traceback_lines(self, record: logging.LogRecord) -> list[str]:
        """Return the lines of the traceback, or none: of a rejected request, and of an outage of the database."""
        if not record.exc_info or _is_of_rejected_request(record) or _outage(record):
            return []
        return _traceback(self.formatException(record.exc_info))


class LineFormatter(_Formatter):
    """Format a record as a line with its time, and indented lines of its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        if fields := self.prepare(record):
            record.message += "".join(f" {name}={value}" for name, value in _known(current_fields() | fields).items())
        return self.formatMessage(record) + "".join(f"\n    {line}" for line in self.traceback_lines(record))


class JsonFormatter(_Formatter):
    """Format a record as a JSON object in one line of ASCII characters."""

    def format(self, record: logging.LogRecord) -> str:
        fields = self.prepare(record)
        content = {
            "time": record.asctime,
            "level": record.levelname,
            "logger": record.name,
            "message": record.message,
            "request_id": record.request_id,  # type: ignore[attr-defined]
            **_known(current_fields() | {"status": getattr(record, "status_code", None)} | fields),
        }
        lines = self.traceback_lines(record)
        if lines:
            content["traceback"] = "\n".join(lines)
        while len(text := json.dumps(content)) > JSON_LENGTH and lines:
            lines = lines[len(lines) // 2 + 1 :]  # its end has the error
            content["traceback"] = "\n".join([CUT, *lines])
        return text


class RepeatedOutages(logging.Filter):
    """Pass an outage of the database at most once in REPEAT_OUTAGES seconds, for each message and cause.

    Otherwise every request of an outage would write a record. The next record has the number of those that were
    omitted. After the record of a cause, Django's record of the status 503 of the same request is omitted too.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.clock = clock
        self.lock = threading.Lock()
        self.passed: dict[tuple[str, str, str], tuple[float, int]] = {}  # the time, and the number omitted since
        self.explained = ContextVar("explained", default="")  # the id of a request of this thread

    def filter(self, record: logging.LogRecord) -> bool:
        request_id = current_request_id.get()
        if not (outage := _outage(record)):
            return not (_is_only_a_status(record) and self.explained.get() == request_id)
        self.explained.set(request_id)
        kind = record.name, str(record.msg), outage.partition(":")[0]
        with self.lock:
            now = self.clock()
            passed_at, omitted = self.passed.get(kind, (now - REPEAT_OUTAGES, 0))
            if passes := now - passed_at >= REPEAT_OUTAGES:
                record.omitted = omitted
            self.passed[kind] = (now, 0) if passes else (passed_at, omitted + 1)
        return passes


class GunicornLogger(Logger):
    """Write the error log and the access log of gunicorn in the line format."""

    formatter: type[_Formatter] = LineFormatter

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers + self.access_log.handlers:
            handler.setFormatter(self.formatter())


class JsonGunicornLogger(GunicornLogger):
    """Write the error log and the access log of gunicorn as JSON."""

    formatter = JsonFormatter


class Report(ExceptionReporter):
    """An error report as Django mails it, without secrets. Without DEBUG it has no values of variables and forms."""

    def get_traceback_data(self) -> dict[str, Any]:
        data = super().get_traceback_data()
        if not settings.DEBUG:
            data["filtered_POST_items"] = []
            for frame in data["frames"]:
                frame["vars"] = []
        return data

    def get_traceback_html(self) -> SafeString:
        return SafeString(redacted(super().get_traceback_html()))  # still safe, because text is only removed

    def get_traceback_text(self) -> SafeString:
        return SafeString(redacted(super().get_traceback_text()))


def redacted(text: str) -> str:
    """Remove API keys, password links, passwords in URLs, email addresses and database rows."""
    if not MAY_BE_SECRET.search(text):
        return text
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


def clean(text: str, length: int) -> str:
    """Return the text in a form that can be logged: cut, without secrets, with escaped control characters."""
    return _escaped(redacted(_cut(text, length)))


def current_fields() -> dict[str, Any]:
    """Return what is known of the current request: trace_id, method, route, key_id and so on (access_log.py)."""
    return current_request_fields.get()()


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that have a value. A text can be from the client."""
    return {
        name: clean(value, MESSAGE_LENGTH) if isinstance(value, str) else value
        for name, value in fields.items()
        if value is not None
    }


def _outage(record: logging.LogRecord) -> str:
    """Return the cause of an outage of the database in one line, or an empty text for other records.

    The first words are the class of the driver's error: `ConnectionTimeout: connection timeout expired`.
    """
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, Error):
        return ""
    from devices.db.transactions import is_outage  # not at the start: the master of gunicorn imports no code of devices

    cause = error.__cause__ or error
    if not is_outage(error) or getattr(cause, "sqlite_errorcode", 0) == SQLITE_ERROR:
        return ""
    lines = redacted(_cut(str(cause), OUTAGE_LENGTH)).split("\n")
    return f"{type(cause).__name__}: {_escaped(' '.join(line.strip() for line in lines))}"


def _is_only_a_status(record: logging.LogRecord) -> bool:
    """Return whether Django logs that a response has the status 503, without its cause."""
    return record.name == "django.request" and getattr(record, "status_code", 0) == 503 and not record.exc_info


def _is_of_rejected_request(record: logging.LogRecord) -> bool:
    """Return whether Django rejected a request with a 4xx. The request caused it, so a traceback has no use."""
    rejected = record.name == "django.request" and record.levelno < logging.ERROR
    return rejected or record.name.startswith(CAUSED_BY_REQUESTS)


def _cut(text: str, length: int) -> str:
    """Cut a long text at the end of a word, or LONGEST_SECRET earlier: patterns do not recognize a part of a secret."""
    if len(text) <= length:
        return text
    words = text[:length].rsplit(maxsplit=1)
    end_of_word = len(words[0]) if len(words) > 1 else 0
    return text[: max(end_of_word, length - LONGEST_SECRET)] + CUT


def _traceback(text: str) -> list[str]:
    """Return the lines of a traceback. A long one keeps its end, which has the error."""
    if len(text) > TRACEBACK_LENGTH:
        text = CUT + "\n" + text[-TRACEBACK_LENGTH:].partition("\n")[2]
    lines = redacted("\n".join(_cut(line, LINE_LENGTH) for line in text.split("\n"))).split("\n")
    return [_escaped(line) for line in lines]


def _escaped(text: str) -> str:
    """Escape characters that are not printable: controls, line separators, direction marks."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
