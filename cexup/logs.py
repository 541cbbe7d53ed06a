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

MESSAGE_LENGTH = 2_000  # characters
TRACEBACK_LENGTH = 20_000  # characters
LINE_LENGTH = 1_000  # characters of each line of a traceback
LONGEST_SECRET = 300  # characters: an email address has up to 254, the password of a URL up to 256 here
CUT = " … (cut)"

# Of the request that the thread is handling, or handled last.
current_request_id = ContextVar("current_request_id", default="-")


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

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        message = _escaped(redacted(_cut(record.getMessage(), MESSAGE_LENGTH)))
        lines = [f"{time} {record.levelname} {record.name} [{current_request_id.get()}] {message}"]
        if record.exc_info:
            lines += _traceback(self.formatException(record.exc_info))
        if record.stack_info:
            lines += _traceback(record.stack_info)
        return "\n".join(lines)


class GunicornLogger(Logger):
    """Write gunicorn's own records, errors and accesses, like all others."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                handler.setFormatter(LineFormatter())


def _cut(text: str, length: int) -> str:
    """Shorten a long text at the end of a word, or well before its end: no pattern would recognize half a secret."""
    if len(text) <= length:
        return text
    words = text[:length].rsplit(maxsplit=1)
    end_of_word = len(words[0]) if len(words) > 1 else 0
    return text[: max(end_of_word, length - LONGEST_SECRET)] + CUT


def _traceback(text: str) -> list[str]:
    """Return the indented lines of a traceback. Of a long one the end stays, where the error is."""
    if len(text) > TRACEBACK_LENGTH:
        text = CUT + "\n" + text[-TRACEBACK_LENGTH:].partition("\n")[2]
    lines = redacted("\n".join(_cut(line, LINE_LENGTH) for line in text.split("\n"))).split("\n")
    return [f"    {_escaped(line)}" for line in lines]


def _escaped(text: str) -> str:
    """Escape each character that is not printable: controls, line separators, directions of writing."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
