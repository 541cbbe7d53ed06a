"""Write and read the cursors of the change feed: opaque to whoever gets one, and of no use to another registry.

Pure: knows no ORM and no request. A position numbers the changes of all hospitals, so a cursor that showed it would
tell one hospital how much happens in the others. A cursor is therefore veiled and sealed, as SIV does it (RFC 5297),
with BLAKE2b for the pseudo-random functions and a key that each registry makes for itself:

1. The seal is a keyed digest of the position, the floor, the scope and 3 random bytes, by which two cursors of the same
   position differ as well: whether anything happened in between is nobody's business either.
2. The veil is a keyed digest of the seal; what is written is the seal, and the rest XOR the veil.
"""

import base64
import binascii
import struct
from hashlib import blake2b
from hmac import compare_digest
from secrets import token_bytes
from typing import NamedTuple

SEAL_LENGTH = 18  # bytes: with the rest 45, which is base64 without padding
TEXT_LENGTH = 60


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


_FORM = struct.Struct(">QQQ3s")


class Pen:
    """Writes the cursors of one follower: what is the same in all of them is prepared once."""

    def __init__(self, cursor: Cursor, key: bytes) -> None:
        self.rest = (cursor.floor, cursor.scope, token_bytes(3))
        self.key = key

    def write(self, position: int) -> str:
        packed = _FORM.pack(position, *self.rest)
        seal = _seal(packed, self.key)
        return base64.urlsafe_b64encode(seal + _veiled(packed, seal, self.key)).decode("ascii")


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
    seal, veiled = sealed[:SEAL_LENGTH], sealed[SEAL_LENGTH:]
    packed = _veiled(veiled, seal, key)
    if not compare_digest(seal, _seal(packed, key)):
        raise Unreadable
    position, floor, scope, _random = _FORM.unpack(packed)
    return Cursor(position, floor, scope)


def _seal(packed: bytes, key: bytes) -> bytes:
    return blake2b(packed, key=key, digest_size=SEAL_LENGTH, person=b"seal").digest()


def _veiled(text: bytes, seal: bytes, key: bytes) -> bytes:
    """Put the veil of this seal on, or take it off."""
    veil = blake2b(seal, key=key, digest_size=_FORM.size, person=b"veil").digest()
    return (int.from_bytes(text) ^ int.from_bytes(veil)).to_bytes(_FORM.size)
