"""Generate, hash and check API keys. Pure: uses no ORM and no request.

A key is `cxp_` + 8 characters of prefix + `_` + 40 random characters + 6 characters of checksum, all base62.

- The prefix identifies the key, and `cxp_` lets a scanner find a leaked one. The checksum (CRC-32 of everything before
  it) rejects a mistyped or invented key without a query. None of these is a secret.
- The secret has 40 × log2(62) = 238 random bits. Nobody can try that many, so a plain SHA-256 is enough: slow,
  salted hashes protect passwords, which people choose and reuse, and would slow down every request.
"""

import hashlib
import re
import secrets
import string
import zlib

from django.utils.crypto import get_random_string

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase

_ISSUED = re.compile(r"(cxp_[0-9A-Za-z]{8}_[0-9A-Za-z]{40})([0-9A-Za-z]{6})")
_LEGACY = re.compile(r"(?!cxp_)[!-~]{16,255}")


def generate() -> str:
    text = f"cxp_{get_random_string(8, BASE62)}_{get_random_string(40, BASE62)}"
    return text + _checksum(text)


def prefix(issued: str) -> str:
    return issued[4:12]


def digest(text: str) -> str:
    """Return what is stored of a key: its SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def is_well_formed(text: str) -> bool:
    """Return whether this can be a key: one with a valid checksum, or a legacy key."""
    if issued := _ISSUED.fullmatch(text):
        return secrets.compare_digest(issued[2], _checksum(issued[1]))
    return is_legacy(text)


def is_legacy(text: str) -> bool:
    """Return whether this can be a key from before the registry: visible ASCII, and not of the form issued here."""
    return bool(_LEGACY.fullmatch(text))


def _checksum(text: str) -> str:
    number = zlib.crc32(text.encode("ascii"))
    return "".join(BASE62[number // 62**place % 62] for place in reversed(range(6)))
