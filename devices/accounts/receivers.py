"""Receive the signals of libraries, and record sign-ins and added or changed users in the audit log."""

from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import MinimumLengthValidator
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models.signals import m2m_changed, post_save, pre_save
from django.dispatch import receiver
from django.http import HttpRequest

from devices.accounts import notifications, sessions, sign_in_limits
from devices.audit import audit_log, denials
from devices.audit.audit_log import Action
from devices.models import Hospital

RECORDED_FLAGS = ("is_active", "is_staff", "is_superuser")  # recorded with the values before and after
PERSONAL_FIELDS = ("username", "first_name", "last_name", "email")  # recorded without their values


@receiver(user_logged_in)
def signed_in(request: HttpRequest, user: Any, **_kwargs: Any) -> None:
    sessions.begin(request)
    request.signed_in_user_id = user.pk  # type: ignore[attr-defined]  # for SignInLimitMiddleware
    audit_log.record(Action.SIGNED_IN, obj=user, user=user)


@receiver(user_logged_out)
def signed_out(request: HttpRequest, user: Any, **_kwargs: Any) -> None:
    if user:
        audit_log.record(Action.SIGNED_OUT, obj=user, user=user)


@receiver(user_login_failed)
def failed_to_sign_in(credentials: dict[str, Any], request: HttpRequest | None = None, **_kwargs: Any) -> None:
    """Record the failure and its user. An unknown user name is not recorded: it can be a password in the wrong field.

    axes has set `axes_locked_out`: it precedes this app in INSTALLED_APPS, so its receiver runs first.
    """
    if request is None:
        return
    user = User.objects.filter(username=credentials.get("username") or "").first()
    locked = getattr(request, "axes_locked_out", False)
    sign_in_limits.count(getattr(request, "hash_limits", []))  # set by NewNetworkLimit if the password was hashed
    if not locked:
        sign_in_limits.count_failure(request)
    denials.record_denial(request, Action.SIGN_IN_LOCKED if locked else Action.SIGN_IN_FAILED, obj=user)


class RecordingLengthValidator(MinimumLengthValidator):
    """Check the length of passwords, and record each new one: Django calls `password_changed` only on validators."""

    def password_changed(self, password: str, user: Any = None) -> None:
        """Record a new password. Django does not call this when a sign-in renews the hash of the same password."""
        audit_log.record(Action.PASSWORD_SET, obj=user)
        notifications.notify(user, notifications.PASSWORD_CHANGED)
        sessions.end_others(user)


@receiver(pre_save)
def snapshot_before_save(instance: Any, raw: bool = False, update_fields: Any = None, **_kwargs: Any) -> None:
    if (
        not raw
        and isinstance(instance, User)
        and instance.pk
        and (update_fields is None or set(update_fields) & {*RECORDED_FLAGS, *PERSONAL_FIELDS})
    ):
        stored = User.objects.filter(pk=instance.pk)
        instance.__dict__["_before"] = stored.values(*RECORDED_FLAGS, *PERSONAL_FIELDS).first()


@receiver(post_save)
def user_saved(instance: Any, created: bool, raw: bool = False, **_kwargs: Any) -> None:
    """Record an added or changed user. `raw`: `loaddata` loads the user, and the recorded events too."""
    if raw or not isinstance(instance, User):
        return
    if created:
        audit_log.record(Action.USER_ADDED, obj=instance, **{name: getattr(instance, name) for name in RECORDED_FLAGS})
        return
    before = instance.__dict__.pop("_before", None) or {}
    changed = [name for name in before if before[name] != getattr(instance, name)]
    if changed:
        values: dict[str, Any] = {
            name: [before[name], getattr(instance, name)] for name in RECORDED_FLAGS if name in changed
        }
        audit_log.record(Action.USER_CHANGED, obj=instance, changed=changed, **values)
    if "email" in changed:
        notifications.notify(instance, notifications.EMAIL_CHANGED, addresses=[before["email"]])
    if "is_active" in changed:
        notifications.notify(instance, notifications.ACTIVATED if instance.is_active else notifications.DEACTIVATED)
        if not instance.is_active:
            sessions.end_others(instance)  # otherwise they would be valid again after a reactivation


@receiver(m2m_changed, sender=Hospital.admins.through)
def admins_changed(instance: Any, action: str, reverse: bool, pk_set: set[int] | None, **_kwargs: Any) -> None:
    """Record each admin who is added to a hospital or removed from it. If `reverse`, the instance is a user."""
    if action == "pre_clear":
        pk_set = set((instance.hospitals if reverse else instance.admins).values_list("pk", flat=True))
    recorded_as = {
        "post_add": Action.HOSPITAL_ADMIN_ADDED,
        "post_remove": Action.HOSPITAL_ADMIN_REMOVED,
        "pre_clear": Action.HOSPITAL_ADMIN_REMOVED,
    }
    for pk in sorted(pk_set or ()) if action in recorded_as else ():
        user_id, hospital_id = (instance.pk, pk) if reverse else (pk, instance.pk)
        audit_log.record(recorded_as[action], obj=User(pk=user_id), hospital_id=hospital_id)
