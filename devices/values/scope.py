"""Scopes: the hospitals whose devices a key or a user may see and write.

Every query of the API and of the admin is narrowed by one (`DeviceQuerySet.within`, the condition `scope` of
api/queries.py), and every write is checked against one (validation.py).
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # models/ narrows its query sets by a reach
    from django.utils.functional import Promise

    from devices.models import Hospital


@dataclass(frozen=True, slots=True)
class Scope:
    """The hospitals of a scope; None for all of them and the devices that no hospital holds."""

    hospitals: "tuple[Hospital, ...] | None" = ()
    refusal: "str | Promise" = field(default="", compare=False)  # the message for a write outside

    @property
    def ids(self) -> Collection[int] | None:
        return None if self.hospitals is None else [hospital.pk for hospital in self.hospitals]

    @property
    def own(self) -> "Hospital | None":
        """The hospital of a device that is registered without naming one."""
        return self.hospitals[0] if self.hospitals and len(self.hospitals) == 1 else None

    def includes(self, hospital_id: int | None) -> bool:
        """Tell whether a device of this hospital (or of none) is in the scope."""
        return self.hospitals is None or any(hospital.pk == hospital_id for hospital in self.hospitals)


UNRESTRICTED = Scope(None)
