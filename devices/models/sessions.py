"""The sessions of signed-in users, found by a hash of their key."""

from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

USER_AGENT_LENGTH = 200
BEGAN_AT = "began_at"  # in the session's data: when the user signed in, in seconds since 1970 UTC


class Session(AbstractBaseSession):
    """A session of the admin. Its key is not stored: `session_key` is the SHA-256 of it (devices/sessions.py)."""

    session_key = models.CharField(_("session key"), max_length=64, primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("person"), null=True, on_delete=models.CASCADE, related_name="+"
    )
    created_at = models.DateTimeField(_("started"), default=timezone.now)
    last_seen_at = models.DateTimeField(_("last used"), default=timezone.now)
    address = models.GenericIPAddressField(_("IP address"), null=True)
    user_agent = models.CharField(_("browser"), max_length=USER_AGENT_LENGTH, blank=True)

    class Meta:
        default_permissions = ()
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
