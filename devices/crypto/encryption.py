"""Encrypt and decrypt secrets that the database stores. The module uses no ORM and no request.

The cipher is AES-256-GCM with a random nonce. HKDF-SHA256 (RFC 5869) derives its key from the SECRET_KEY, a different
one for each context. The result is `v1.` and the base64 of nonce, ciphertext and tag: 67 characters for 20 bytes. The
column of django-otp has 80.

The secret of an authenticator app (TOTP) is encrypted with the user's id as associated data. So it cannot be decrypted
in the row of another user.
"""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

PREFIX = "v1."  # it distinguishes an encrypted secret from one in hexadecimal digits
TOTP_CONTEXT = b"devices.seal: second factor, v1"  # stored secrets depend on it  # plain-english: allow
NONCE_LENGTH = 12  # bytes, NIST SP 800-38D 5.2.1.1


class DecryptionError(ValueError):
    """Neither the current SECRET_KEY nor a fallback decrypts the secret of this user."""


def encrypt(plain: bytes, *, context: bytes, associated: bytes = b"") -> str:
    """Encrypt with the current SECRET_KEY, for this context and associated data."""
    nonce = os.urandom(NONCE_LENGTH)
    ciphertext = _cipher(settings.SECRET_KEY, context).encrypt(nonce, plain, associated)
    return PREFIX + urlsafe_b64encode(nonce + ciphertext).decode("ascii")


def decrypt(text: str, *, context: bytes, associated: bytes = b"") -> bytes | None:
    """Return the plaintext, or None if neither the current key nor an older one decrypts it."""
    for key in secret_keys():
        with suppress(InvalidTag, ValueError):  # ValueError: not base64, or too short
            data = urlsafe_b64decode(text.removeprefix(PREFIX))
            return _cipher(key, context).decrypt(data[:NONCE_LENGTH], data[NONCE_LENGTH:], associated)
    return None


def secret_keys() -> list[str]:
    """Return the current SECRET_KEY, then the older ones of SECRET_KEY_FALLBACKS."""
    return [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]


def encrypt_totp_secret(secret: bytes, user_id: int) -> str:
    """Encrypt the secret of an authenticator app with the current SECRET_KEY."""
    return encrypt(secret, context=TOTP_CONTEXT, associated=_associated(user_id))


def decrypt_totp_secret(text: str, user_id: int) -> bytes:
    """Return the secret of an authenticator app, encrypted with the current or an older SECRET_KEY.

    A text in hexadecimal digits is decoded as well: django-otp stores a new secret in that form.

    Raises:
        DecryptionError: no key decrypts the text for this user.
    """
    secret = decrypt(text, context=TOTP_CONTEXT, associated=_associated(user_id))
    if secret is None:
        try:
            secret = bytes.fromhex(text)
        except ValueError:
            raise DecryptionError(
                f"No key decrypts the TOTP secret of user {user_id}. Add the SECRET_KEY that encrypted it to "
                "SECRET_KEY_FALLBACKS, or reset two-factor authentication for this user."
            ) from None
    return secret


def reencrypt_totp_secret(text: str, user_id: int) -> str:
    """Return the text of `encrypt_totp_secret` again, encrypted with the current SECRET_KEY.

    Raises:
        DecryptionError: no key decrypts the text for this user.
    """
    return encrypt_totp_secret(decrypt_totp_secret(text, user_id), user_id)


def _cipher(key: str, context: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), length=32, salt=None, info=context).derive(key.encode()))


def _associated(user_id: int) -> bytes:
    return b"user %d" % user_id
