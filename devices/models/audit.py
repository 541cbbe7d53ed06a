"""The audit log, and how long records are kept."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from devices.models.api_keys import ApiKey
from devices.models.history import Channel
from devices.models.hospitals import Hospital

# An event keeps the id of an object that was deleted.
FOR_GOOD: Any = {"null": True, "on_delete": models.DO_NOTHING, "db_constraint": False, "related_name": "+"}


class AuditEvent(models.Model):
    """An event that the history does not have: a sign-in, a denial, an export.

    devices/audit/audit_log.py writes it. The database refuses to change it (db/triggers/append_only.py). No row has a
    secret.
    """

    class Action(models.TextChoices):
        SIGNED_IN = "signed_in", _("signed in")
        SIGNED_OUT = "signed_out", _("signed out")
        SIGN_IN_FAILED = "sign_in_failed", _("failed to sign in")
        SIGN_IN_LOCKED = "sign_in_locked", _("was locked out of signing in")
        CODE_ACCEPTED = "code_accepted", _("gave the second factor's code")
        CODE_REJECTED = "code_rejected", _("gave a wrong code")
        TWO_FACTOR_ENABLED = "two_factor_enabled", _("two-factor sign-in set up")
        TWO_FACTOR_RESET = "two_factor_reset", _("two-factor sign-in taken away")
        RECOVERY_CODES_CREATED = "recovery_codes_created", _("recovery codes made")
        PASSWORD_SET = "password_set", _("password chosen")
        PASSWORD_LINK_CREATED = "password_link_created", _("link to choose a password made")
        USER_ADDED = "user_added", _("person added")
        USER_CHANGED = "user_changed", _("person changed")
        HOSPITAL_ADMIN_ADDED = "hospital_admin_added", _("made an admin of a hospital")
        HOSPITAL_ADMIN_REMOVED = "hospital_admin_removed", _("no longer an admin of a hospital")
        SIGN_IN_LIMITED = "sign_in_limited", _("sign-in refused by a rate limit")
        PASSWORD_REJECTED = "password_rejected", _("gave a wrong current password")
        IDENTITY_CONFIRMED = "identity_confirmed", _("confirmed their identity")
        SESSION_ENDED = "session_ended", _("session ended")
        DENIED = "denied", _("denied")
        OUT_OF_SCOPE = "out_of_scope", _("requested devices outside their scope")
        CONFLICTS_OUTSIDE_SCOPE = "conflicts_outside_scope", _("conflicts with devices outside their scope")
        EXPORTED = "exported", _("exported")
        IMPORTED = "imported", _("imported")
        PRUNED = "pruned", _("records past their time removed")
        RETENTION_EXTENDED = "retention_extended", _("records are kept for longer")

    class ObjectType(models.TextChoices):
        DEVICE = "device", _("device")
        HOSPITAL = "hospital", _("hospital")
        API_KEY = "key", _("API key")
        USER = "user", _("user")

    created_at = models.DateTimeField(_("when"), default=timezone.now, db_index=True)
    action = models.CharField(_("what"), max_length=24, choices=Action)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, verbose_name=_("person"), **FOR_GOOD)
    username = models.CharField(_("user name"), max_length=150, blank=True)  # as it was then
    api_key = models.ForeignKey(ApiKey, verbose_name=_("API key"), **FOR_GOOD)
    channel = models.CharField(_("through"), max_length=8, choices=Channel)
    ip_address = models.GenericIPAddressField(_("address"), null=True)
    request_id = models.CharField(_("request"), max_length=128, blank=True)
    object_type = models.CharField(_("about"), max_length=8, choices=ObjectType, blank=True)
    object_id = models.BigIntegerField(null=True)
    hospital = models.ForeignKey(Hospital, verbose_name=_("hospital"), **FOR_GOOD)
    details = models.JSONField(_("details"), default=dict)

    class Meta:
        default_permissions = ()
        verbose_name = _("event")
        verbose_name_plural = _("events")
        indexes = [
            models.Index(fields=["object_type", "object_id"], name="auditevent_by_object"),
            models.Index(
                fields=["action", "created_at", "ip_address"], name="auditevent_by_action"
            ),  # for audit.is_known
        ]

    def __str__(self) -> str:
        return f"{self.action} at {self.created_at}"


class AuditRetention(models.Model):
    """How long records are kept: one row. The database refuses fewer years (db/triggers/append_only.py)."""

    years = models.PositiveSmallIntegerField()
    pruning_before = models.DateTimeField(null=True)  # set only within a transaction that removes records

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(name="auditretention_is_one", condition=Q(pk=1)),
            models.CheckConstraint(name="auditretention_is_some", condition=Q(years__gte=1)),
        ]

    def __str__(self) -> str:
        return f"{self.years} years"
