"""The audit log, and how long records are kept."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from devices.models.api_keys import ApiKey
from devices.models.history import Through
from devices.models.hospitals import Hospital

# An event keeps the id of an object that was deleted.
FOR_GOOD: Any = {"null": True, "on_delete": models.DO_NOTHING, "db_constraint": False, "related_name": "+"}


class AuditEvent(models.Model):
    """An event that the history does not have: a sign-in, a denial, an export.

    devices/audit.py writes it. The database refuses to change it (triggers/records.py). No row has a secret.
    """

    class What(models.TextChoices):
        SIGNED_IN = "signed_in", _("signed in")
        SIGNED_OUT = "signed_out", _("signed out")
        SIGN_IN_FAILED = "sign_in_failed", _("failed to sign in")
        SIGN_IN_LOCKED = "sign_in_locked", _("was locked out of signing in")
        CODE_ACCEPTED = "code_accepted", _("gave the second factor's code")
        CODE_REFUSED = "code_refused", _("gave a wrong code")
        SECOND_FACTOR_SET_UP = "second_factor_set_up", _("two-factor sign-in set up")
        SECOND_FACTOR_RESET = "second_factor_reset", _("two-factor sign-in taken away")
        RECOVERY_CODES_MADE = "recovery_codes_made", _("recovery codes made")
        PASSWORD_CHOSEN = "password_chosen", _("password chosen")
        PASSWORD_LINK_MADE = "password_link_made", _("link to choose a password made")
        PERSON_ADDED = "person_added", _("person added")
        PERSON_CHANGED = "person_changed", _("person changed")
        HOSPITAL_GIVEN = "hospital_given", _("made an admin of a hospital")
        HOSPITAL_TAKEN = "hospital_taken", _("no longer an admin of a hospital")
        SIGN_IN_LIMITED = "sign_in_limited", _("sign-in refused by a rate limit")
        PASSWORD_REFUSED = "password_refused", _("gave a wrong current password")
        IDENTITY_CONFIRMED = "identity_confirmed", _("confirmed their identity")
        SESSION_ENDED = "session_ended", _("session ended")
        DENIED = "denied", _("denied")
        OUTSIDE_SCOPE = "outside_scope", _("requested devices outside their scope")
        CONFLICTS_OUTSIDE_SCOPE = "conflicts_outside_scope", _("conflicts with devices outside their scope")
        EXPORTED = "exported", _("exported")
        IMPORTED = "imported", _("imported")
        PRUNED = "pruned", _("records past their time removed")
        RETENTION_RAISED = "retention_raised", _("records are kept for longer")

    class About(models.TextChoices):
        DEVICE = "device", _("device")
        HOSPITAL = "hospital", _("hospital")
        API_KEY = "key", _("API key")
        PERSON = "person", _("person")

    at = models.DateTimeField(_("when"), default=timezone.now, db_index=True)
    what = models.CharField(_("what"), max_length=24, choices=What)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, verbose_name=_("person"), **FOR_GOOD)
    username = models.CharField(_("user name"), max_length=150, blank=True)  # as it was then
    api_key = models.ForeignKey(ApiKey, verbose_name=_("API key"), **FOR_GOOD)
    through = models.CharField(_("through"), max_length=8, choices=Through)
    address = models.GenericIPAddressField(_("address"), null=True)
    request_id = models.CharField(_("request"), max_length=128, blank=True)
    about = models.CharField(_("about"), max_length=8, choices=About, blank=True)
    about_id = models.BigIntegerField(null=True)
    hospital = models.ForeignKey(Hospital, verbose_name=_("hospital"), **FOR_GOOD)
    details = models.JSONField(_("details"), default=dict)

    class Meta:
        default_permissions = ()
        verbose_name = _("event")
        verbose_name_plural = _("events")
        indexes = [
            models.Index(fields=["about", "about_id"], name="event_by_what_it_is_about"),
            models.Index(fields=["what", "at", "address"], name="event_by_what"),  # for audit.is_known
        ]

    def __str__(self) -> str:
        return f"{self.what} at {self.at}"


class AuditRetention(models.Model):
    """How long records are kept: one row. The database refuses fewer years (triggers/records.py)."""

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
