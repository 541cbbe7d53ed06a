"""Encrypt what the database keeps and must not tell, and decrypt it again.

Knows no ORM and no request. AES-256-GCM with a random nonce and a key that HKDF-SHA256 (RFC 5869) derives from the
SECRET_KEY, another one for each context. Encrypted it is `v1.`, and in base64 the nonce, the ciphertext and the tag: of
20 bytes 67 characters, where django-otp has 80.

`seal` and `unseal` are for the secrets of second factors. The person's id is their associated data: in another person's
row a secret does not open.
"""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

PREFIX = "v1."  # no hexadecimal digits, which is what was never sealed
SECOND_FACTOR = b"devices.seal: second factor, v1"
NONCE_LENGTH = 12  # bytes, NIST SP 800-38D 5.2.1.1


class Unreadable(ValueError):
    """No key that we have sealed it, for this person."""

    def __init__(self, user_id: int) -> None:
        super().__init__(
            f"No key opens the second factor of user {user_id}: put the SECRET_KEY that sealed it into "
            "SECRET_KEY_FALLBACKS, or reset the second factor."
        )


def encrypt(plain: bytes, *, context: bytes, associated: bytes = b"") -> str:
    nonce = os.urandom(NONCE_LENGTH)
    sealed = _cipher(settings.SECRET_KEY, context).encrypt(nonce, plain, associated)
    return PREFIX + urlsafe_b64encode(nonce + sealed).decode("ascii")


def decrypt(text: str, *, context: bytes, associated: bytes = b"") -> bytes | None:
    """Return the plaintext by the key that encrypted it, today's or an older one. Return None if no key fits."""
    opened = (_opened(text, key, context, associated) for key in secret_keys())
    return next((plain for plain in opened if plain is not None), None)


def secret_keys() -> list[str]:
    """Return today's SECRET_KEY, and the older ones that still count."""
    return [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]


def seal(secret: bytes, user_id: int) -> str:
    return encrypt(secret, context=SECOND_FACTOR, associated=_whose(user_id))


def unseal(text: str, user_id: int) -> bytes:
    """Return the secret, by whichever key it was sealed; also one that never was, in hexadecimal digits.

    Raises:
        Unreadable: it was sealed by none of the keys, or for somebody else.
    """
    if not is_sealed(text):
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise Unreadable(user_id) from None
    secret = decrypt(text, context=SECOND_FACTOR, associated=_whose(user_id))
    if secret is None:
        raise Unreadable(user_id)
    return secret


def sealed_today(text: str, user_id: int) -> str:
    """Return it as it is if today's key sealed it, else sealed anew.

    Raises:
        Unreadable: as above.
    """
    return text if is_sealed_by_todays_key(text, user_id) else seal(unseal(text, user_id), user_id)


def is_sealed(text: str) -> bool:
    return text.startswith(PREFIX)


def is_sealed_by_todays_key(text: str, user_id: int) -> bool:
    return is_sealed(text) and _opened(text, settings.SECRET_KEY, SECOND_FACTOR, _whose(user_id)) is not None


def _opened(text: str, key: str, context: bytes, associated: bytes) -> bytes | None:
    try:
        sealed = urlsafe_b64decode(text.removeprefix(PREFIX))
        return _cipher(key, context).decrypt(sealed[:NONCE_LENGTH], sealed[NONCE_LENGTH:], associated)
    except (InvalidTag, ValueError):  # no base64, or too short
        return None


def _cipher(key: str, context: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), length=32, salt=None, info=context).derive(key.encode()))


def _whose(user_id: int) -> bytes:
    return b"user %d" % user_id
