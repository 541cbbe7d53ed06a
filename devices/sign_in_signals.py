"""Put on record what the libraries only tell by signals: sign-ins, and who is added or changed by whatever way."""

import time
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models.signals import m2m_changed, post_save, pre_save
from django.dispatch import receiver
from django.http import HttpRequest

from cexup.middleware import SessionEndMiddleware
from devices import audit, denials, notifications, sessions, sign_in_limits, step_up
from devices.audit import What
from devices.models import Hospital, Person

RIGHTS = ("is_active", "is_staff", "is_superuser")  # on record with their values before and after
NAMES = ("username", "first_name", "last_name", "email")  # on record by that they changed, for they are personal
PEOPLE = (User, Person)


@receiver(user_logged_in)
def signed_in(request: HttpRequest, user: Any, **_kwargs: Any) -> None:
    request.session[SessionEndMiddleware.BEGAN_AT] = time.time()
    step_up.confirmed(request)
    request.signed_in_user_id = user.pk  # type: ignore[attr-defined]  # for SignInLimitMiddleware
    audit.note(What.SIGNED_IN, about=user, user=user)


@receiver(user_logged_out)
def signed_out(request: HttpRequest, user: Any, **_kwargs: Any) -> None:
    if user:
        audit.note(What.SIGNED_OUT, about=user, user=user)


@receiver(user_login_failed)
def failed_to_sign_in(credentials: dict[str, Any], request: HttpRequest | None = None, **_kwargs: Any) -> None:
    """Name who it was tried as only where there is such a person: passwords are typed into this field too."""
    if request is None:
        return
    person = User.objects.filter(username=credentials.get("username") or "").first()
    locked = getattr(request, "axes_locked_out", False)  # axes has looked before: its receiver comes first
    sign_in_limits.count_hash(request)
    if not locked:
        sign_in_limits.count_failure(request)
    denials.note(request, What.SIGN_IN_LOCKED if locked else What.SIGN_IN_FAILED, about=person)


@receiver(pre_save)
def remember_before(sender: type[Any], instance: Any, update_fields: Any = None, **_kwargs: Any) -> None:
    if sender in PEOPLE and instance.pk and (update_fields is None or set(update_fields) & {*RIGHTS, *NAMES}):
        instance._before = User.objects.filter(pk=instance.pk).values(*RIGHTS, *NAMES).first()


@receiver(post_save)
def person_saved(sender: type[Any], instance: Any, created: bool, **_kwargs: Any) -> None:
    if sender not in PEOPLE:
        return
    if created:
        audit.note(What.PERSON_ADDED, about=instance, **{name: getattr(instance, name) for name in RIGHTS})
        return
    before = instance.__dict__.pop("_before", None) or {}
    changed = [name for name in before if before[name] != getattr(instance, name)]
    if changed:
        values: dict[str, Any] = {name: [before[name], getattr(instance, name)] for name in RIGHTS if name in changed}
        audit.note(What.PERSON_CHANGED, about=instance, changed=changed, **values)
    if "email" in changed:
        notifications.notify(instance, notifications.EMAIL_CHANGED, addresses=[before["email"]])
    if "is_active" in changed:
        notifications.notify(instance, notifications.ACTIVATED if instance.is_active else notifications.DEACTIVATED)
    if instance._password is not None:  # set anew, not only hashed anew; Django forgets it right after this
        audit.note(What.PASSWORD_CHOSEN, about=instance)
        notifications.notify(instance, notifications.PASSWORD_CHANGED)
        sessions.end_others(instance)
    elif "is_active" in changed and not instance.is_active:
        sessions.end_others(instance)  # else they would be valid again with the user


@receiver(m2m_changed, sender=Hospital.admins.through)
def admins_changed(instance: Any, action: str, reverse: bool, pk_set: set[int] | None, **_kwargs: Any) -> None:
    """Tell each admin that a hospital got or lost, from whichever side."""
    if action == "pre_clear":
        pk_set = set((instance.hospitals if reverse else instance.admins).values_list("pk", flat=True))
    what = {"post_add": What.HOSPITAL_GIVEN, "post_remove": What.HOSPITAL_TAKEN, "pre_clear": What.HOSPITAL_TAKEN}
    if action in what:
        pairs = [(instance.pk, pk) if reverse else (pk, instance.pk) for pk in sorted(pk_set or ())]
        audit.note_admins((what[action], person, hospital) for person, hospital in pairs)
