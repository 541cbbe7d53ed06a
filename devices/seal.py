"""Seal what the database keeps and must not tell, the secrets of second factors; and open it again.

Knows no ORM and no request. AES-256-GCM with a random nonce and a key that HKDF-SHA256 (RFC 5869) derives from the
SECRET_KEY. The person's id is sealed along (associated data): in another person's row it does not open. Sealed it is
`v1.`, and in base64 the nonce, what was encrypted, and the tag: of 20 bytes 67 characters, where django-otp has 80.
"""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

PREFIX = "v1."  # no hexadecimal digits, which is what was never sealed
NONCE_LENGTH = 12  # bytes, NIST SP 800-38D 5.2.1.1


class Unreadable(ValueError):
    """No key that we have sealed it, for this person."""

    def __init__(self, user_id: int) -> None:
        super().__init__(
            f"No key opens the second factor of user {user_id}: put the SECRET_KEY that sealed it into "
            "SECRET_KEY_FALLBACKS, or reset the second factor."
        )


def secret_keys() -> list[str]:
    """Return today's SECRET_KEY, and the older ones that still count."""
    return [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]


def seal(secret: bytes, user_id: int) -> str:
    nonce = os.urandom(NONCE_LENGTH)
    sealed = _cipher(settings.SECRET_KEY).encrypt(nonce, secret, _whose(user_id))
    return PREFIX + urlsafe_b64encode(nonce + sealed).decode("ascii")


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
    for key in secret_keys():
        secret = _opened(text, user_id, key)
        if secret is not None:
            return secret
    raise Unreadable(user_id)


def sealed_today(text: str, user_id: int) -> str:
    """Return it as it is if today's key sealed it, else sealed anew.

    Raises:
        Unreadable: as above.
    """
    return text if is_sealed_by_todays_key(text, user_id) else seal(unseal(text, user_id), user_id)


def is_sealed(text: str) -> bool:
    return text.startswith(PREFIX)


def is_sealed_by_todays_key(text: str, user_id: int) -> bool:
    return is_sealed(text) and _opened(text, user_id, settings.SECRET_KEY) is not None


def _opened(text: str, user_id: int, key: str) -> bytes | None:
    try:
        sealed = urlsafe_b64decode(text.removeprefix(PREFIX))
        return _cipher(key).decrypt(sealed[:NONCE_LENGTH], sealed[NONCE_LENGTH:], _whose(user_id))
    except (InvalidTag, ValueError):  # no base64, or too short
        return None


def _cipher(key: str) -> AESGCM:
    derived = HKDF(SHA256(), length=32, salt=None, info=b"devices.seal: second factor, v1")
    return AESGCM(derived.derive(key.encode()))


def _whose(user_id: int) -> bytes:
    return b"user %d" % user_id
