"""Keep out of logs what does not belong there: keys, links that set a password, e-mail addresses, rows of the database.

Nothing logs any of these on purpose. But an error may carry them: PostgreSQL tells the row that a constraint refused
(`DETAIL:`), a path may be a link, and whoever calls may put a key where it is none.
"""

import logging
import re
from typing import Any

from gunicorn.glogging import Logger

SECRETS = (
    (re.compile(r"cxp_[0-9A-Za-z]{8}_[0-9A-Za-z]+"), "cxp_…"),
    (re.compile(r"(/choose-password/)[^\s\"']+"), r"\1…"),
    (re.compile(r"(://[^\s:/@]+:)[^\s@]+(?=@)"), r"\1…"),
    (re.compile(r"(?i)([?&\s](?:x-api-key|api_?key|key|password|token)=)[^\s&'\"]+"), r"\1…"),
    (re.compile(r"[\w.+-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+"), "…@…"),
    (re.compile(r"^(.*?\b(?:DETAIL|CONTEXT):).*$", re.MULTILINE), r"\1 …"),
)


def redacted(text: str) -> str:
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


class RedactingFormatter(logging.Formatter):
    """Write a record, and the trace of an error in it, without any of them."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


class GunicornLogger(Logger):
    """What gunicorn itself logs, errors and, where somebody has switched it on, each access."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                fmt = handler.formatter
                handler.setFormatter(RedactingFormatter(fmt and fmt._fmt, fmt and fmt.datefmt))
