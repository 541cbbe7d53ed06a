"""Return the scope of an API key or a user."""

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from devices.values.scope import UNRESTRICTED, Scope

if TYPE_CHECKING:  # models/ narrows its query sets by a reach
    from devices.models import ApiKey


def scope_for_key(key: "ApiKey") -> Scope:
    if key.hospital is None:
        return UNRESTRICTED
    return Scope((key.hospital,), _("This API key may register devices of its own hospital only."))


def scope_for_user(user: Any) -> Scope:
    """Return everything for an operator, the hospitals of a hospital admin, and nothing for other users.

    It is cached on the user, whom each request loads again.
    """
    if not (user.is_active and user.is_staff):
        return Scope()
    if user.is_superuser:
        return UNRESTRICTED
    if not hasattr(user, "_reach"):
        hospitals = tuple(user.hospitals.order_by("name", "pk"))
        user._reach = Scope(hospitals, _("You may register devices of your own hospitals only."))
    return user._reach  # type: ignore[no-any-return]
