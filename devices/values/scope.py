"""Scopes: the hospitals whose devices a key or a user may see and write.

Every query of the API and of the admin is filtered by one (`DeviceQuerySet.in_scope`), and every write is checked
against one (registry/validation.py).
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Scope:
    """The hospitals of a scope. None means all of them, and the devices without a hospital."""

    hospitals: tuple[Any, ...] | None = ()  # rows of devices.models.Hospital, which this package may not import

    @property
    def hospital_ids(self) -> Collection[int] | None:
        return None if self.hospitals is None else [hospital.pk for hospital in self.hospitals]

    @property
    def default_hospital(self) -> Any:
        """The hospital of a device that is registered without naming one; None if there is not exactly one."""
        return self.hospitals[0] if self.hospitals and len(self.hospitals) == 1 else None

    def allows(self, hospital_id: int | None) -> bool:
        """Return whether a device of this hospital (None: of no hospital) is in the scope."""
        return self.hospitals is None or any(hospital.pk == hospital_id for hospital in self.hospitals)


UNRESTRICTED = Scope(None)
