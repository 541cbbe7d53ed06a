"""Authenticator apps: a table of django-otp, in which the secrets are encrypted."""

import logging
from contextlib import suppress
from typing import Any

from django_otp.plugins.otp_totp.models import TOTPDevice

from devices import seal

logger = logging.getLogger(__name__)


class AuthenticatorApp(TOTPDevice):
    """Encrypts its secret by today's SECRET_KEY. TOTPDevice itself cannot read an encrypted secret."""

    key: str
    user_id: int

    class Meta:
        proxy = True
        default_permissions = ()

    @property
    def bin_key(self) -> bytes:
        """Return the secret.

        Raises:
            Unreadable: its SECRET_KEY is gone, or it is another user's.
        """
        return seal.unseal(self.key, self.user_id)

    def save(self, *args: Any, **kwargs: Any) -> None:
        with suppress(seal.Unreadable):  # then it is saved as it is, with the count of wrong codes
            self.key = seal.sealed_today(self.key, self.user_id)
        super().save(*args, **kwargs)

    def verify_token(self, token: str) -> bool:
        """Return whether the code is right. If the secret cannot be decrypted, it is wrong, and an error is logged."""
        try:
            return bool(super().verify_token(token))
        except seal.Unreadable as error:
            logger.error("%s", error)
            self.throttle_increment()
            return False
