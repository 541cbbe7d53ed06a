"""Write and read the cursors of the change feed: opaque to whoever gets one, and of no use to another registry.

Pure: knows no ORM and no request. A cursor is 24 bytes and a seal (BLAKE2b with a key that each registry makes for
itself), in base64url. The seal keeps nothing secret; it makes sure that what is read is what was written.
"""

import base64
import binascii
import struct
from hashlib import blake2b
from hmac import compare_digest
from typing import NamedTuple

SEAL_LENGTH = 9  # bytes: with the rest 33, which is base64 without padding
TEXT_LENGTH = 44


class Cursor(NamedTuple):
    """How far somebody has come: behind the change with the number `position`.

    `floor` is how far the oldest changes had been pruned when they began, `scope` the id of the only hospital whose
    changes they see, 0 for those of all.
    """

    position: int
    floor: int
    scope: int


class Unreadable(ValueError):
    """No cursor, or none of this registry."""


_FORM = struct.Struct(">QQQ")


class Pen:
    """Writes the cursors of one follower: what is the same in all of them is prepared once."""

    def __init__(self, cursor: Cursor, key: bytes) -> None:
        self.rest = (cursor.floor, cursor.scope)
        self.seal = blake2b(key=key, digest_size=SEAL_LENGTH)

    def write(self, position: int) -> str:
        packed = _FORM.pack(position, *self.rest)
        seal = self.seal.copy()
        seal.update(packed)
        return base64.urlsafe_b64encode(packed + seal.digest()).decode("ascii")


def read(text: str, key: bytes) -> Cursor:
    """Return the cursor as it was written.

    Raises:
        Unreadable: it was not written with this key.
    """
    if len(text) != TEXT_LENGTH or not text.isascii():
        raise Unreadable
    try:
        sealed = base64.b64decode(text, altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise Unreadable from error
    packed, seal = sealed[: _FORM.size], sealed[_FORM.size :]
    if not compare_digest(seal, _seal(packed, key)):
        raise Unreadable
    return Cursor(*_FORM.unpack(packed))


def _seal(packed: bytes, key: bytes) -> bytes:
    return blake2b(packed, key=key, digest_size=SEAL_LENGTH).digest()
