"""Users of the admin: operators, who have all permissions, and hospital admins, whose role defines their permissions.

Hospital admins sign in with their email address. They set their password with a link, which is valid once, for three
days (PASSWORD_RESET_TIMEOUT), and until the next link is created.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.translation import gettext_lazy as _

from devices.access import scopes
from devices.accounts import notifications
from devices.audit import audit_log
from devices.audit.audit_log import Action, ObjectType
from devices.models import AuditEvent, Hospital
from devices.values.errors import UNIQUE, FieldError, ValidationFailed

USERNAME_TAKEN = _("A user with this email address already exists.")
HOSPITAL_ADMIN_PERMISSIONS = frozenset(
    {
        "devices.add_device",
        "devices.change_device",
        "devices.delete_device",
        "devices.view_device",
        "devices.view_historicaldevice",
        "devices.view_hospital",
    }
)


class HospitalAdminBackend(BaseBackend):
    """Return the permissions of hospital admins. Django gives operators all permissions."""

    def get_user_permissions(self, user_obj: Any, obj: object = None) -> set[str]:
        return set(HOSPITAL_ADMIN_PERMISSIONS) if scopes.scope_for_user(user_obj).hospitals else set()

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        return app_label == "devices" and bool(scopes.scope_for_user(user_obj).hospitals)


@transaction.atomic
def invite(name: str, email: str, hospitals: Iterable[Hospital]) -> User:
    """Add an admin of these hospitals. The user must set a password before the first sign-in.

    Raises:
        ValidationFailed: another user signs in with this address.
    """
    try:
        with transaction.atomic():
            user = get_user_model().objects.create_user(
                normalize_username(email), email, first_name=name, is_staff=True
            )
    except IntegrityError as error:
        raise ValidationFailed([FieldError("email", UNIQUE, USERNAME_TAKEN)]) from error
    user.hospitals.set(hospitals)
    return user


@transaction.atomic
def change_email(user: User, email: str) -> None:
    """Change the email address, which is also the user name of a hospital admin.

    Raises:
        ValidationFailed: another user signs in with this address.
    """
    email = normalize_username(email)
    if User.objects.filter(username=email).exclude(pk=user.pk).exists():
        raise ValidationFailed([FieldError("email", UNIQUE, USERNAME_TAKEN)])
    user.email = email
    if not user.is_superuser:  # the user name of an operator is set on the command line
        user.username = email
    user.save(update_fields=["email", "username"])


def normalize_username(text: str) -> str:
    """Return the user name without surrounding spaces, and an email address also in lower case."""
    return text.strip().lower() if "@" in text else text.strip()


class PasswordLinkTokenGenerator(PasswordResetTokenGenerator):
    """Tokens of password links. Only the latest link of a user is valid, and no link of an inactive user."""

    def check_token(self, user: Any, token: str | None) -> bool:
        return bool(user and user.is_active) and super().check_token(user, token)

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        """Add the latest link to the hash, so that it invalidates earlier links. Django has no public hook for this."""
        links = AuditEvent.objects.filter(
            action=Action.PASSWORD_LINK_CREATED, object_type=ObjectType.USER, object_id=user.pk
        )
        return f"{super()._make_hash_value(user, timestamp)}{links.aggregate(latest=Max('pk'))['latest']}"


link_tokens = PasswordLinkTokenGenerator()


@transaction.atomic
def create_password_link(user: User) -> str:
    """Return the path of the page that sets the password. It is valid until a new password, a sign-in or a new link."""
    audit_log.record(Action.PASSWORD_LINK_CREATED, obj=user)
    notifications.notify(user, notifications.PASSWORD_LINK_CREATED)
    user_id = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("set_password", args=[user_id, link_tokens.make_token(user)])
