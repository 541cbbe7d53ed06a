"""Write log records: the same format for Django and gunicorn, of bounded length, without secrets, safe to display.

A record is one line that begins with its time in UTC. The lines of a traceback follow it, each indented. So a line
that does not begin with a space is a record, and no text from outside can look like one.
"""

import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from gunicorn.glogging import Logger

from cexup.redaction import redacted

FORMAT = "{asctime} {levelname} {name} [{request_id}] {message}"
MESSAGE_LENGTH = 2_000  # characters
TRACEBACK_LENGTH = 20_000  # characters
LINE_LENGTH = 1_000  # characters of each line of a traceback
LONGEST_SECRET = 300  # characters: an email address has up to 254, the password of a URL up to 256 here
INDENT = "    "
CUT = " … (cut)"

current_request_id = ContextVar("current_request_id", default="-")


class RequestIdFilter(logging.Filter):
    """Add the id of the request that the thread is handling, or handled last, to each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current_request_id.get()
        return True


class NoTracebackFilter(logging.Filter):
    """Log an error as one line: its cause is the request, not the code."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = record.stack_info = None
        return True


class LineFormatter(logging.Formatter):
    """Format a record in steps whose order matters.

    1. Cut the text, so that no later step handles more than a bounded length.
    2. Remove secrets.
    3. Escape what a terminal or a reader of lines would interpret, the newlines of a message included.
    """

    def __init__(self) -> None:
        super().__init__(FORMAT, style="{", defaults={"request_id": "-"})

    def format(self, record: logging.LogRecord) -> str:
        record.message = _escaped(redacted(_cut(record.getMessage(), MESSAGE_LENGTH)))
        record.asctime = self.formatTime(record)
        parts = [self.formatMessage(record)]
        if record.exc_info:
            parts.append(_traceback(self.formatException(record.exc_info)))
        if record.stack_info:
            parts.append(_traceback(self.formatStack(record.stack_info)))
        return "\n".join(parts)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


class GunicornLogger(Logger):
    """Write gunicorn's own records, errors and accesses, like all others."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                handler.setFormatter(LineFormatter())
                handler.addFilter(RequestIdFilter())


def _cut(text: str, length: int) -> str:
    """Shorten a long text at the end of a word, or well before its end: no pattern would recognize half a secret."""
    if len(text) <= length:
        return text
    words = text[:length].rsplit(maxsplit=1)
    end_of_word = len(words[0]) if len(words) > 1 else 0
    return text[: max(end_of_word, length - LONGEST_SECRET)] + CUT


def _traceback(text: str) -> str:
    """Indent a traceback and bound it: the end stays, where the error is."""
    if len(text) > TRACEBACK_LENGTH:
        text = CUT + "\n" + text[-TRACEBACK_LENGTH:].partition("\n")[2]
    lines = redacted("\n".join(_cut(line, LINE_LENGTH) for line in text.split("\n"))).split("\n")
    return "\n".join(f"{INDENT}{_escaped(line)}" for line in lines)


def _escaped(text: str) -> str:
    """Write each character that is not printable as Python does: controls, line separators, directions of writing."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
