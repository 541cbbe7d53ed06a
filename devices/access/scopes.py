"""Find the scope of an API key or a user."""

from typing import Any

from devices.models import ApiKey
from devices.values.scope import UNRESTRICTED, Scope


def scope_for_key(key: ApiKey) -> Scope:
    """Return all hospitals, or those of the key. A key without hospitals has access to nothing."""
    return UNRESTRICTED if key.all_hospitals else Scope(key.scope_hospitals)


def scope_for_user(user: Any) -> Scope:
    """Return all hospitals for an operator, the assigned ones for a hospital admin, and none for other users.

    The user object caches the scope, so a request loads the hospitals once.
    """
    if not (user.is_active and user.is_staff):
        return Scope()
    if user.is_superuser:
        return UNRESTRICTED
    if not hasattr(user, "_scope"):
        user._scope = Scope(tuple(user.hospitals.order_by("name", "pk")))
    return user._scope  # type: ignore[no-any-return]
