"""Generate, hash and check API keys. The module uses no ORM and no request.

A key is `cxp_` + 8 characters of prefix + `_` + 40 random characters + 6 characters of checksum, all base62. A key of
the sandbox begins with `cxt_` instead.

- The prefix identifies the key. `cxp_` and `cxt_` allow scanners to find a leaked key, and `cxt_` shows that it reaches
  no patient's device. The checksum is the CRC-32 of everything before it: a mistyped or invented key is rejected
  without a query. None of these is secret.
- The secret has 40 × log2(62) = 238 random bits, too many to guess. So an unsalted SHA-256 is enough. Slow, salted
  hashes are for passwords, which users choose and reuse. They would slow down every request.
"""

import hashlib
import re
import secrets
import string
import zlib

from django.utils.crypto import get_random_string

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase

LIVE, SANDBOX = "cxp_", "cxt_"  # the first characters of issued keys
_ISSUED = re.compile(r"(cx[pt]_[0-9A-Za-z]{8}_[0-9A-Za-z]{40})([0-9A-Za-z]{6})")
_LEGACY = re.compile(r"(?!cx[pt]_)[!-~]{16,255}")


def generate(*, sandbox: bool = False) -> str:
    """Return a new key as text, with `sandbox` one of the sandbox."""
    text = f"{SANDBOX if sandbox else LIVE}{get_random_string(8, BASE62)}_{get_random_string(40, BASE62)}"
    return text + _checksum(text)


def prefix(issued: str) -> str:
    """Return the prefix of a key that `generate` has returned: 8 characters."""
    return issued[4:12]


def digest(text: str) -> str:
    """Return the SHA-256 of a key in 64 hexadecimal digits. The database stores this instead of the key."""
    return hashlib.sha256(text.encode()).hexdigest()


def is_well_formed(text: str) -> bool:
    """Return whether the text can be a key: a generated one with a valid checksum, or a legacy key."""
    if issued := _ISSUED.fullmatch(text):
        return secrets.compare_digest(issued[2], _checksum(issued[1]))
    return is_legacy(text)


def is_legacy(text: str) -> bool:
    """Return whether the text can be a key that an older system has issued: 16–255 visible ASCII characters.

    A text that begins with `cxp_` or `cxt_` is not a legacy key.
    """
    return bool(_LEGACY.fullmatch(text))


def _checksum(text: str) -> str:
    number = zlib.crc32(text.encode("ascii"))
    return "".join(BASE62[number // 62**place % 62] for place in reversed(range(6)))
