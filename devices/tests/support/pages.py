"""Compare pages."""

import re


def without_request_id(page: bytes) -> bytes:
    """Return an error page without the id of its request, which differs each time."""
    return re.sub(rb"<code>[0-9a-f]{32}</code>", b"", page)
