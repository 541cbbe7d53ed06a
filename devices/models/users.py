"""Users of the admin, their sessions, and their authenticator apps."""

import logging
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_totp.models import TOTPDevice

from devices.crypto import encryption

USER_AGENT_LENGTH = 200

logger = logging.getLogger(__name__)


class StaffUser(User):
    """Django's user model with the display name of the admin."""

    class Meta:
        proxy = True
        verbose_name = _("user")
        verbose_name_plural = _("users")

    def __str__(self) -> str:
        return self.get_full_name() or self.username


class Session(AbstractBaseSession):
    """A session of the admin. `session_key` is the SHA-256 of the key, which is not stored (accounts/sessions.py)."""

    session_key = models.CharField(_("session key"), max_length=64, primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), null=True, on_delete=models.CASCADE, related_name="+"
    )
    created_at = models.DateTimeField(_("started"), default=timezone.now)
    last_seen_at = models.DateTimeField(_("last used"), default=timezone.now)
    ip_address = models.GenericIPAddressField(_("IP address"), null=True)
    user_agent = models.CharField(_("browser"), max_length=USER_AGENT_LENGTH, blank=True)

    class Meta:
        default_permissions = ()
        verbose_name = _("session")
        verbose_name_plural = _("sessions")


class AuthenticatorApp(TOTPDevice):
    """A TOTP device whose secret is encrypted with the SECRET_KEY. django-otp's TOTPDevice cannot read it."""

    key: str
    user_id: int

    class Meta:
        proxy = True
        default_permissions = ()

    @property
    def bin_key(self) -> bytes:
        """Return the secret.

        Raises:
            DecryptionError: the SECRET_KEY that encrypted it is not configured, or it was copied from another user.
        """
        return encryption.decrypt_totp_secret(self.key, self.user_id)

    def save(self, *args: Any, **kwargs: Any) -> None:
        with suppress(encryption.DecryptionError):  # then save the unchanged secret with the count of wrong codes
            self.key = encryption.reencrypt_totp_secret(self.key, self.user_id)
        super().save(*args, **kwargs)

    def verify_token(self, token: str) -> bool:
        """Return whether the code is valid. If the secret cannot be decrypted, log an error and return False."""
        try:
            return bool(super().verify_token(token))
        except encryption.DecryptionError as error:
            logger.error("%s", error)
            self.throttle_increment()
            return False
