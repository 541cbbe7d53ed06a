"""Whoever signs in to the admin, and how that went: tables of Django's and of django-axes, under our names."""

from axes.models import AccessFailureLog, AccessLog
from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy as _


class Person(User):
    """Whoever signs in to the admin: Django's user, under the name that people here use. See devices/people.py."""

    class Meta:
        proxy = True
        verbose_name = _("person")
        verbose_name_plural = _("people")

    def __str__(self) -> str:
        return self.get_full_name() or self.username


class SignIn(AccessLog):
    """A sign-in to the admin, as django-axes keeps it."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = _("sign-in")
        verbose_name_plural = _("sign-ins")


class FailedSignIn(AccessFailureLog):
    """A try to sign in that failed, or was locked, as django-axes keeps it. Never the password."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = _("failed sign-in")
        verbose_name_plural = _("failed sign-ins")
