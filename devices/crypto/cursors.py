"""Encrypt and decrypt the cursors of the change feed. The module uses no ORM and no request.

A position counts the changes of all hospitals. So a cursor is encrypted with AES-SIV (RFC 5297) and a key that each
registry creates. Random bytes make two cursors of the same position different. A client therefore cannot see whether
other hospitals had changes in between.
"""

import base64
import re
import struct
from functools import lru_cache
from secrets import token_bytes
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

TEXT_LENGTH = 60  # base64 of 45 bytes, without padding: a tag of 16, numbers of 24, and 5 random bytes
_FORM = re.compile(rf"[A-Za-z0-9_-]{{{TEXT_LENGTH}}}")
_LAYOUT = struct.Struct(">QQQ5s")


class Cursor(NamedTuple):
    """The state of a client of the change feed.

    position: the number of the last change that the client has received.
    pruned_to: the number up to which changes had been pruned when the client began to read the feed.
    scope: the number of the scope of its key (Scope.number).
    """

    position: int
    pruned_to: int
    scope: int


class UnknownCursor(Exception):
    """The text has the form of a cursor, and this key does not decrypt it."""


_cipher = lru_cache(maxsize=1)(AESSIV)  # a registry has one key


def encode(cursor: Cursor, key: bytes) -> str:
    """Return the cursor as encrypted text of TEXT_LENGTH characters: letters, digits, `-` and `_`."""
    encrypted = _cipher(key).encrypt(_LAYOUT.pack(*cursor, token_bytes(5)), None)
    return base64.urlsafe_b64encode(encrypted).decode()


def decode(text: str, key: bytes) -> Cursor:
    """Return the cursor that was encrypted with this key.

    Raises:
        ValueError: the text does not have the form of a cursor.
        UnknownCursor: it has that form. It was changed, or encrypted with another key.
    """
    if not _FORM.fullmatch(text):
        raise ValueError("The text does not have the form of a cursor.")
    try:
        packed = _cipher(key).decrypt(base64.urlsafe_b64decode(text), None)
    except InvalidTag as error:
        raise UnknownCursor from error
    position, pruned_to, scope, _random = _LAYOUT.unpack(packed)
    return Cursor(position, pruned_to, scope)
