"""The state of a user as operators see it: invited, active, locked. It is computed from stored rows in one query."""

from datetime import datetime, timedelta
from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Exists, Max, OuterRef, QuerySet, Subquery, Sum, TextChoices
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from devices.audit.audit_log import Action, ObjectType
from devices.models import AuditEvent, AuthenticatorApp


class UserState(TextChoices):
    INVITED = "invited", _("Invited")
    LINK_EXPIRED = "link_expired", _("Link expired")
    ACTIVE = "active", _("Active")
    LOCKED = "locked", _("Locked")
    INACTIVE = "inactive", _("Inactive")


def with_states(users: QuerySet[Any]) -> QuerySet[Any]:
    """Annotate users with `has_two_factor`, `locked` and `link_created_at` for `state_of`."""
    links = AuditEvent.objects.filter(
        action=Action.PASSWORD_LINK_CREATED, object_type=ObjectType.USER, object_id=OuterRef("pk")
    )
    latest = links.order_by().values("object_id").annotate(latest=Max("created_at")).values("latest")
    annotated: QuerySet[Any] = users.annotate(
        has_two_factor=Exists(AuthenticatorApp.objects.filter(user=OuterRef("pk"), confirmed=True)),
        locked=Exists(_lockouts(OuterRef("username"))),
        link_created_at=Subquery(latest),
    )
    return annotated


def state_of(user: Any) -> UserState:
    """Return the state of a user of `with_states`. Without a password, the link matters."""
    if not user.is_active:
        return UserState.INACTIVE
    if user.locked:
        return UserState.LOCKED
    if user.has_usable_password():
        return UserState.ACTIVE
    valid_for = timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT)
    is_valid = user.link_created_at and timezone.now() < user.link_created_at + valid_for
    return UserState.INVITED if is_valid else UserState.LINK_EXPIRED


def locked_until(user: User) -> datetime | None:
    """Return when the last lockout of this user ends, or None if the user can sign in from all networks."""
    latest = _lockouts(user.get_username()).order_by("-latest").values_list("latest", flat=True).first()
    return latest + settings.AXES_COOLOFF_TIME if latest else None


def _lockouts(username: Any) -> QuerySet[Any]:
    """Return the networks from which axes has locked this user, with the time of the latest counted failure."""
    since = timezone.now() - settings.AXES_COOLOFF_TIME
    attempts = AccessAttempt.objects.filter(username=username, attempt_time__gte=since).order_by()
    by_network: QuerySet[Any] = attempts.values("ip_address").annotate(
        failures=Sum("failures_since_start"), latest=Max("attempt_time")
    )
    return by_network.filter(failures__gte=settings.AXES_FAILURE_LIMIT)
