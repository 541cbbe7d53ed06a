"""Format log records and error reports: bounded, without secrets, safe to display.

A record is one line that begins with its time in UTC. The lines of a traceback follow it, each indented. So a line
that does not begin with a space is a record, and no text from outside can look like one.

The code logs no secret on purpose. But an exception may have one: PostgreSQL reports the row that a constraint rejected
(`DETAIL:`), a path may be a password link, and a client may send its key in the wrong place.
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
WITHOUT_TRACEBACK = "django.security.DisallowedHost"  # its cause is the request, not the code

# Every pattern runs in linear time, because clients choose the text (test_patterns_linear.py).
SECRETS = (
    (re.compile(r"cxp_[0-9A-Za-z]{8}_[0-9A-Za-z]+"), "cxp_…"),
    (re.compile(r"(/set-password/)[^\s\"']+"), r"\1…"),
    # The bound keeps the pattern linear. The last @ counts, as in urlsplit: a password may contain one.
    (re.compile(r"(://[^\s:/@]*+:)\S{1,256}(?=@)"), r"\1…"),
    (re.compile(r"(?i)([?&\s](?:x-api-key|api_?key|key|password|token)=)[^\s&'\"]+"), r"\1…"),
    # The lookbehind lets a match start only where a word starts; else each character of a long word is a start.
    (re.compile(r"(?<![\w.+-])[\w.+-]++(?:@|%40)[\w-]++(?:\.[\w-]++)++"), "…@…"),
    (re.compile(r"^(.*?\b(?:DETAIL|CONTEXT):).*$", re.MULTILINE), r"\1 …"),
)

# Of the request that the thread is handling, or handled last.
current_request_id = ContextVar("current_request_id", default="-")


class LineFormatter(logging.Formatter):
    """Format a record in steps whose order matters.

    1. Cut the text, so that no later step handles more than a bounded length.
    2. Remove secrets.
    3. Escape what a terminal or a reader of lines would interpret, the newlines of a message included.
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
        if record.exc_info and record.name != WITHOUT_TRACEBACK:
            line += _traceback(self.formatException(record.exc_info))
        return line


class GunicornLogger(Logger):
    """Write gunicorn's own records, errors and accesses, like all others."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers + self.access_log.handlers:
            handler.setFormatter(LineFormatter())


class Report(ExceptionReporter):
    """An error report, as Django mails it: no secrets and, unless DEBUG is on, no values of variables or forms."""

    def get_traceback_data(self) -> dict[str, Any]:
        data = super().get_traceback_data()
        if not settings.DEBUG:
            data["filtered_POST_items"] = []
            for frame in data["frames"]:
                frame["vars"] = []
        return data

    def get_traceback_html(self) -> SafeString:
        return SafeString(redacted(super().get_traceback_html()))  # still safe: text is only removed

    def get_traceback_text(self) -> SafeString:
        return SafeString(redacted(super().get_traceback_text()))


def redacted(text: str) -> str:
    """Remove API keys, password links, passwords of URLs, email addresses and rows of the database."""
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _cut(text: str, length: int) -> str:
    """Shorten a long text at the end of a word, or well before its end: no pattern would recognize half a secret."""
    if len(text) <= length:
        return text
    words = text[:length].rsplit(maxsplit=1)
    end_of_word = len(words[0]) if len(words) > 1 else 0
    return text[: max(end_of_word, length - LONGEST_SECRET)] + CUT


def _traceback(text: str) -> str:
    """Return the indented lines of a traceback. Of a long one the end stays, where the error is."""
    if len(text) > TRACEBACK_LENGTH:
        text = CUT + "\n" + text[-TRACEBACK_LENGTH:].partition("\n")[2]
    lines = redacted("\n".join(_cut(line, LINE_LENGTH) for line in text.split("\n"))).split("\n")
    return "".join(f"\n    {_escaped(line)}" for line in lines)


def _escaped(text: str) -> str:
    """Escape each character that is not printable: controls, line separators, directions of writing."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
