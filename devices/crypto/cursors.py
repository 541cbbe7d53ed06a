"""Encrypt and decrypt the cursors of the change feed. No ORM, no request.

A position counts the changes of all hospitals. A cursor is therefore encrypted with AES-SIV (RFC 5297), with a key that
each registry creates. Because of random bytes, two cursors for the same position differ: a client cannot see whether
anything happened in between.
"""

import base64
import struct
from functools import lru_cache
from secrets import token_bytes
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

TEXT_LENGTH = 60  # of 16 bytes for the tag, 24 for the numbers and 5 at random: base64 without padding
_FORM = struct.Struct(">QQQ5s")


class Cursor(NamedTuple):
    """The client has received the changes up to the number `position`.

    `pruned_to`: changes up to this number had been pruned when the client began. `scope`: the id of its hospital, or 0.
    """

    position: int
    pruned_to: int
    scope: int


_cipher = lru_cache(maxsize=1)(AESSIV)  # a registry has one key


def encode(cursor: Cursor, key: bytes) -> str:
    encrypted = _cipher(key).encrypt(_FORM.pack(*cursor, token_bytes(5)), None)
    return base64.urlsafe_b64encode(encrypted).decode()


def decode(text: str, key: bytes) -> Cursor:
    """Decrypt a cursor.

    Raises:
        ValueError: it was not written with this key.
    """
    if len(text) != TEXT_LENGTH:
        raise ValueError("This has not the length of a cursor.")
    try:
        packed = _cipher(key).decrypt(base64.b64decode(text, altchars=b"-_", validate=True), None)
    except InvalidTag as error:
        raise ValueError("This was not written with this key.") from error
    position, pruned_to, scope, _random = _FORM.unpack(packed)
    return Cursor(position, pruned_to, scope)
