"""Encrypt and decrypt the cursors of the change feed. No ORM, no request.

A position counts the changes of all hospitals, so a readable cursor would show one hospital how much happens in the
others. A cursor is therefore encrypted and authenticated by AES-SIV (RFC 5297), with a key that each registry makes.
The random bytes make two cursors for the same position differ: a client cannot see whether anything happened between.
"""

import base64
import binascii
import struct
from secrets import token_bytes
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

TEXT_LENGTH = 60  # of 16 bytes for the tag, 24 for the numbers and 5 at random: base64 without padding
_FORM = struct.Struct(">QQQ5s")


class Cursor(NamedTuple):
    """The client has read up to the change with the number `position`.

    `floor` is the number up to which changes had been pruned when the client began. `scope` is the id of the only
    hospital that the client sees, 0 for all.
    """

    position: int
    floor: int
    scope: int


class Unreadable(ValueError):
    """The text is no cursor, or another registry's."""


class Pen:
    """Write the cursors of one page of the feed."""

    def __init__(self, cursor: Cursor, key: bytes) -> None:
        self.rest = (cursor.floor, cursor.scope, token_bytes(5))
        self.cipher = AESSIV(key)

    def write(self, position: int) -> str:
        return base64.urlsafe_b64encode(self.cipher.encrypt(_FORM.pack(position, *self.rest), None)).decode()


def read(text: str, key: bytes) -> Cursor:
    """Decrypt a cursor.

    Raises:
        Unreadable: it was not written with this key.
    """
    if len(text) != TEXT_LENGTH or not text.isascii():
        raise Unreadable
    try:
        packed = AESSIV(key).decrypt(base64.b64decode(text, altchars=b"-_", validate=True), None)
    except (binascii.Error, InvalidTag) as error:
        raise Unreadable from error
    position, floor, scope, _random = _FORM.unpack(packed)
    return Cursor(position, floor, scope)
