"""Users of the admin: Django's table, with the name that the admin shows."""

from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy as _


class Person(User):
    class Meta:
        proxy = True
        verbose_name = _("person")
        verbose_name_plural = _("people")

    def __str__(self) -> str:
        return self.get_full_name() or self.username
