"""The audit log and the retention period of records."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from devices.models.api_keys import ApiKey
from devices.models.history import Channel
from devices.models.hospitals import Hospital

# An event keeps the id after its object is deleted.
KEEP_ID: Any = {"null": True, "on_delete": models.DO_NOTHING, "db_constraint": False, "related_name": "+"}


class AuditEvent(models.Model):
    """An event that is not in the history, such as a sign-in, a denied request or an export.

    audit/audit_log.py writes events. The database rejects changes of them (db/triggers/append_only.py). They contain no
    secrets.
    """

    class Action(models.TextChoices):
        SIGNED_IN = "signed_in", _("signed in")
        SIGNED_OUT = "signed_out", _("signed out")
        SIGN_IN_FAILED = "sign_in_failed", _("sign-in failed")
        SIGN_IN_LOCKED = "sign_in_locked", _("user locked out")
        CODE_ACCEPTED = "code_accepted", _("verification code accepted")
        CODE_REJECTED = "code_rejected", _("wrong verification code")
        TWO_FACTOR_ENABLED = "two_factor_enabled", _("two-factor authentication set up")
        TWO_FACTOR_RESET = "two_factor_reset", _("two-factor authentication turned off or reset")
        RECOVERY_CODES_CREATED = "recovery_codes_created", _("recovery codes created")
        PASSWORD_SET = "password_set", _("password set")
        PASSWORD_LINK_CREATED = "password_link_created", _("password link created")
        USER_ADDED = "user_added", _("user added")
        USER_CHANGED = "user_changed", _("user changed")
        HOSPITAL_ADMIN_ADDED = "hospital_admin_added", _("hospital admin added")
        HOSPITAL_ADMIN_REMOVED = "hospital_admin_removed", _("hospital admin removed")
        SIGN_IN_LIMITED = "sign_in_limited", _("sign-in limit reached")
        PASSWORD_REJECTED = "password_rejected", _("wrong current password")
        IDENTITY_CONFIRMED = "identity_confirmed", _("identity confirmed")
        SESSION_ENDED = "session_ended", _("sessions ended")
        DENIED = "denied", _("request denied")
        OUT_OF_SCOPE = "out_of_scope", _("request outside the scope")
        CONFLICTS_OUTSIDE_SCOPE = "conflicts_outside_scope", _("conflicts with devices outside the scope")
        EXPORTED = "exported", _("data exported")
        IMPORTED = "imported", _("file imported")
        PRUNED = "pruned", _("expired records removed")
        RETENTION_EXTENDED = "retention_extended", _("retention period extended")
        RESTORED = "restored", _("backup restored")

    class ObjectType(models.TextChoices):
        DEVICE = "device", _("device")
        HOSPITAL = "hospital", _("hospital")
        API_KEY = "key", _("API key")
        USER = "user", _("user")

    created_at = models.DateTimeField(_("time"), default=timezone.now, db_index=True)
    action = models.CharField(_("event"), max_length=24, choices=Action)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, verbose_name=_("user"), **KEEP_ID)
    username = models.CharField(_("user name"), max_length=150, blank=True)  # at the time of the event
    api_key = models.ForeignKey(ApiKey, verbose_name=_("API key"), **KEEP_ID)
    channel = models.CharField(_("source"), max_length=8, choices=Channel)
    ip_address = models.GenericIPAddressField(_("IP address"), null=True)
    request_id = models.CharField(_("request ID"), max_length=128, blank=True)
    object_type = models.CharField(_("object"), max_length=8, choices=ObjectType, blank=True)
    object_id = models.BigIntegerField(null=True)
    hospital = models.ForeignKey(Hospital, verbose_name=_("hospital"), **KEEP_ID)
    details = models.JSONField(_("details"), default=dict)

    class Meta:
        default_permissions = ()
        verbose_name = _("event")
        verbose_name_plural = _("audit log")
        indexes = [
            models.Index(fields=["object_type", "object_id"], name="auditevent_by_object"),
            # for audit_log.was_done_from
            models.Index(fields=["action", "created_at", "ip_address"], name="auditevent_by_action"),
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()}, {date_format(timezone.localtime(self.created_at), 'DATETIME_FORMAT')}"


class AuditRetention(models.Model):
    """The retention period: one row. The database rejects a shorter period (db/triggers/append_only.py)."""

    years = models.PositiveSmallIntegerField()
    pruning_before = models.DateTimeField(null=True)  # set only in a transaction that removes records
    last_prune_at = models.DateTimeField(null=True)  # the end of the last run of `prune` that succeeded

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(name="auditretention_is_one", condition=Q(pk=1)),
            models.CheckConstraint(name="auditretention_is_some", condition=Q(years__gte=1)),
        ]

    def __str__(self) -> str:
        return f"{self.years} years"
