"""Remove secrets from text that goes to a log: API keys, password links, email addresses, rows of the database.

The code logs none of these on purpose. But an exception may carry them: PostgreSQL reports the row that a constraint
rejected (`DETAIL:`), a path may be a password link, and a client may send its key in the wrong place.

Every pattern here runs in linear time, because clients choose the text (test_patterns_linear.py).
"""

import re

SECRETS = (
    (re.compile(r"cxp_[0-9A-Za-z]{8}_[0-9A-Za-z]+"), "cxp_…"),
    (re.compile(r"(/choose-password/)[^\s\"']+"), r"\1…"),
    # The bound keeps the pattern linear. The last @ counts, as in urlsplit: a password may contain one.
    (re.compile(r"(://[^\s:/@]*+:)\S{1,256}(?=@)"), r"\1…"),
    (re.compile(r"(?i)([?&\s](?:x-api-key|api_?key|key|password|token)=)[^\s&'\"]+"), r"\1…"),
    # The lookbehind lets a match start only where a word starts; else each character of a long word is a start.
    (re.compile(r"(?<![\w.+-])[\w.+-]++(?:@|%40)[\w-]++(?:\.[\w-]++)++"), "…@…"),
    (re.compile(r"^(.*?\b(?:DETAIL|CONTEXT):).*$", re.MULTILINE), r"\1 …"),
)


def redacted(text: str) -> str:
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text
