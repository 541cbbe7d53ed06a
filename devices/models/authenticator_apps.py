"""The app that is somebody's second factor: a table of django-otp's, in which the secret lies sealed."""

import logging
from contextlib import suppress
from typing import Any

from django_otp.plugins.otp_totp.models import TOTPDevice

from devices import seal

logger = logging.getLogger(__name__)


class AuthenticatorApp(TOTPDevice):
    """Seals what it saves by today's SECRET_KEY, and opens it. To TOTPDevice itself a sealed secret is none."""

    key: str
    user_id: int

    class Meta:
        proxy = True
        default_permissions = ()

    @property
    def bin_key(self) -> bytes:
        """Return the secret.

        Raises:
            Unreadable: the SECRET_KEY that sealed it is gone, or it is somebody else's.
        """
        return seal.unseal(self.key, self.user_id)

    @property
    def opens(self) -> bool:
        try:
            return bool(self.bin_key)
        except seal.Unreadable:
            return False

    def save(self, *args: Any, **kwargs: Any) -> None:
        with suppress(seal.Unreadable):  # it stays as it is: the wrong codes are counted all the same
            self.key = seal.sealed_today(self.key, self.user_id)
        super().save(*args, **kwargs)

    def verify_token(self, token: str) -> bool:
        """Take a code for a wrong one where the secret cannot be opened, and log what is to be done."""
        try:
            return bool(super().verify_token(token))
        except seal.Unreadable as error:
            logger.error("%s", error)
            self.throttle_increment()
            return False
