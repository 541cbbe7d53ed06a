"""Decide which details of an actor a viewer of the admin can see. Every page that shows an actor uses this module.

An operator sees everything. A hospital admin sees:

- the names of users who are admins of one of the viewer's hospitals, and of the API keys of these hospitals;
- only the role of other actors: an operator, or an administrator or application of another hospital;
- the IP addresses of such keys and users if all of their hospitals are in the viewer's scope. The IP address of a user
  or key that also works for another hospital can belong to that hospital.
"""

from typing import Any

from django.contrib import admin
from django.db.models import Case, Exists, Expression, OuterRef, Q, QuerySet, Value, When
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from devices.models import ApiKey, Hospital
from devices.values.scope import Scope


def for_viewer(changes: QuerySet[Any], viewer: Scope) -> QuerySet[Any]:
    """Annotate changes with the details of their actors that this viewer can see, for `user` and `ip_address`."""
    sees_name: Expression = Value(True)
    sees_address: Expression = Value(True)
    if viewer.hospital_ids is not None:
        hospitals_of_user = Hospital.admins.through.objects.filter(user=OuterRef("history_user"))
        hospitals_of_key = ApiKey.hospitals.through.objects.filter(apikey=OuterRef("history_api_key"))
        own_key = Q(Exists(hospitals_of_key.filter(hospital__in=viewer.hospital_ids)))
        key_only_here = own_key & ~Exists(hospitals_of_key.exclude(hospital__in=viewer.hospital_ids))
        colleague = Q(history_user__is_superuser=False) & Exists(
            hospitals_of_user.filter(hospital__in=viewer.hospital_ids)
        )
        only_here = colleague & ~Exists(hospitals_of_user.exclude(hospital__in=viewer.hospital_ids))
        sees_name = Case(When(own_key | colleague, then=True), default=False)
        sees_address = Case(When(key_only_here | only_here, then=True), default=False)
    annotated: QuerySet[Any] = changes.annotate(sees_name=sees_name, sees_address=sees_address)
    return annotated.select_related("history_user", "history_api_key")


@admin.display(description=_("user"))
def user(change: Any) -> Any:
    """Return the actor of a change as the viewer can see it, or "–" for a command."""
    if change.history_api_key_id:
        key = change.history_api_key
        if change.sees_name:
            return format_lazy("{} {}", _("API key"), key or change.history_api_key_id)
        return _("application of another hospital") if key and not key.all_hospitals else _("operator's application")
    actor = change.history_user
    if actor is None or change.sees_name:
        return actor or "–"
    return _("operator") if actor.is_superuser else _("administrator of another hospital")


@admin.display(description=_("IP address"))
def ip_address(change: Any) -> str:
    """Return the IP address of a change if the viewer can see it, otherwise "–"."""
    return (change.history_ip_address if change.sees_address else None) or "–"
