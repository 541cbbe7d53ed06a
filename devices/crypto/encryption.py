"""Encrypt what the database stores, and decrypt it. No ORM, no request.

AES-256-GCM with a random nonce and a key that HKDF-SHA256 (RFC 5869) derives from the SECRET_KEY, a different one for
each context. The result is `v1.`, and in base64 the nonce, the ciphertext and the tag: 67 characters for 20 bytes
(django-otp has 80).

`seal` and `unseal` are for the secrets of second factors. The user's id is their associated data, so a secret does not
decrypt in another user's row.
"""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

PREFIX = "v1."  # so it is never in hexadecimal digits
TOTP_CONTEXT = b"devices.seal: second factor, v1"  # stored secrets depend on it (plain-english: allow)
NONCE_LENGTH = 12  # bytes, NIST SP 800-38D 5.2.1.1


class DecryptionError(ValueError):
    """No key decrypts it for this user."""


def encrypt(plain: bytes, *, context: bytes, associated: bytes = b"") -> str:
    nonce = os.urandom(NONCE_LENGTH)
    sealed = _cipher(settings.SECRET_KEY, context).encrypt(nonce, plain, associated)
    return PREFIX + urlsafe_b64encode(nonce + sealed).decode("ascii")


def decrypt(text: str, *, context: bytes, associated: bytes = b"") -> bytes | None:
    """Return the plaintext, or None if neither the current key nor an older one decrypts it."""
    for key in secret_keys():
        with suppress(InvalidTag, ValueError):  # ValueError: no base64, or too short
            sealed = urlsafe_b64decode(text.removeprefix(PREFIX))
            return _cipher(key, context).decrypt(sealed[:NONCE_LENGTH], sealed[NONCE_LENGTH:], associated)
    return None


def secret_keys() -> list[str]:
    """Return the current SECRET_KEY, and the older ones that are still accepted."""
    return [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]


def encrypt_totp_secret(secret: bytes, user_id: int) -> str:
    return encrypt(secret, context=TOTP_CONTEXT, associated=_associated(user_id))


def decrypt_totp_secret(text: str, user_id: int) -> bytes:
    """Return the secret, whichever key encrypted it. A new one of django-otp is in hexadecimal digits.

    Raises:
        DecryptionError: none of the keys encrypted it for this user.
    """
    secret = decrypt(text, context=TOTP_CONTEXT, associated=_associated(user_id))
    if secret is None:
        try:
            secret = bytes.fromhex(text)
        except ValueError:
            raise DecryptionError(
                f"No key opens the second factor of user {user_id}: put the SECRET_KEY that sealed it into "
                "SECRET_KEY_FALLBACKS, or reset the second factor."
            ) from None
    return secret


def reencrypt_totp_secret(text: str, user_id: int) -> str:
    """Return the secret encrypted with the current key."""
    return encrypt_totp_secret(decrypt_totp_secret(text, user_id), user_id)


def _cipher(key: str, context: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), length=32, salt=None, info=context).derive(key.encode()))


def _associated(user_id: int) -> bytes:
    return b"user %d" % user_id
