"""How far somebody reaches: all hospitals, or some. The one place where a key or a person becomes what they may see.

Every query of the API and of the admin is narrowed by a reach (`DeviceQuerySet.within`, the condition `scope` of
api/selection.py), every write is held to one (`conflicts.beyond_reach`).
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:  # models/ narrows its query sets by a reach
    from django.utils.functional import Promise

    from devices.models import ApiKey, Hospital


@dataclass(frozen=True, slots=True)
class Reach:
    """The hospitals whose devices are within reach; None for all of them and the devices that no hospital holds."""

    hospitals: "tuple[Hospital, ...] | None" = ()
    refusal: "str | Promise" = field(default="", compare=False)  # what a write beyond it is told

    @property
    def ids(self) -> Collection[int] | None:
        return None if self.hospitals is None else [hospital.pk for hospital in self.hospitals]

    @property
    def own(self) -> "Hospital | None":
        """The hospital of a device that is registered without naming one."""
        return self.hospitals[0] if self.hospitals and len(self.hospitals) == 1 else None

    def includes(self, hospital_id: int | None) -> bool:
        """Tell whether a device that this hospital holds (or nobody) is within it."""
        return self.hospitals is None or any(hospital.pk == hospital_id for hospital in self.hospitals)


EVERYTHING = Reach(None)


def of_key(key: "ApiKey") -> Reach:
    if key.hospital is None:
        return EVERYTHING
    return Reach((key.hospital,), _("This API key may register devices of its own hospital only."))


def of_user(user: Any) -> Reach:
    """Return everything for an operator, their hospitals for a hospital admin, and nothing for anybody else.

    Asked once a request: it is kept on the user, whom each request loads anew.
    """
    if not (user.is_active and user.is_staff):
        return Reach()
    if user.is_superuser:
        return EVERYTHING
    if not hasattr(user, "_reach"):
        hospitals = tuple(user.hospitals.order_by("name", "pk"))
        user._reach = Reach(hospitals, _("You may register devices of your own hospitals only."))
    return user._reach  # type: ignore[no-any-return]
