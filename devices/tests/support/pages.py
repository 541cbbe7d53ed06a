"""Compare pages."""

import re

# An error page has the id of its request; the lines for paper have the present time; lists have times such as
# "2 seconds ago", whose exact time in the attributes stays.
VARYING = re.compile(
    rb'<code>[0-9a-f]{32}</code>|<div class="print-header">.*?</div>|(?<=>)[^<>]*(?=</time>)', re.DOTALL
)


def without_varying_parts(page: bytes) -> bytes:
    """Return the page without the parts that differ each time it is opened."""
    return VARYING.sub(b"", page)
