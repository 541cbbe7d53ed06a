"""Format log records and error reports: of limited length, without secrets, and safe to display.

A record is one line that begins with its time in UTC. The lines of its traceback follow, and each is indented. So each
line that does not begin with a space is a record, and a client cannot forge one.

The code does not log secrets, but exceptions and paths may contain them: PostgreSQL reports the row that a constraint
rejected (`DETAIL:`), a path may be a password link, and a client may send its key in the wrong place.
"""

import logging
import re
import time
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter
from gunicorn.glogging import Logger

FORMAT = "{asctime} {levelname} {name} [{request_id}] {message}"
MESSAGE_LENGTH = 2_000  # characters
TRACEBACK_LENGTH = 20_000  # characters
LINE_LENGTH = 1_000  # characters of each line of a traceback
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

# The id of the current request of the thread, or of its last one.
current_request_id = ContextVar("current_request_id", default="-")


class LineFormatter(logging.Formatter):
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

    def format(self, record: logging.LogRecord) -> str:
        record.message = _escaped(redacted(_cut(record.getMessage(), MESSAGE_LENGTH)))
        record.asctime = self.formatTime(record)
        record.request_id = current_request_id.get()
        line = self.formatMessage(record)
        if record.exc_info and not _is_of_rejected_request(record):
            line += _traceback(self.formatException(record.exc_info))
        return line


class GunicornLogger(Logger):
    """Write the error log and the access log of gunicorn in the same format."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers + self.access_log.handlers:
            handler.setFormatter(LineFormatter())


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
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


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


def _traceback(text: str) -> str:
    """Return the indented lines of a traceback. A long one keeps its end, which has the error."""
    if len(text) > TRACEBACK_LENGTH:
        text = CUT + "\n" + text[-TRACEBACK_LENGTH:].partition("\n")[2]
    lines = redacted("\n".join(_cut(line, LINE_LENGTH) for line in text.split("\n"))).split("\n")
    return "".join(f"\n    {_escaped(line)}" for line in lines)


def _escaped(text: str) -> str:
    """Escape characters that are not printable: controls, line separators, direction marks."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
