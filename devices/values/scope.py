"""The scope of an API key or a user: the hospitals whose devices it can read and write.

Every query of the API and the admin is filtered by a scope: with `DeviceQuerySet.in_scope`, or in the compiled queries
of api/queries.py, api/lookup.py and api/views/devices.py by the parameter `scope`. registry/ checks every write.
"""

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any


@dataclass(frozen=True, slots=True)
class Scope:
    """The hospitals of a scope. None means all hospitals, and the devices without a hospital."""

    hospitals: tuple[Any, ...] | None = ()  # rows of devices.models.Hospital, which this package must not import

    @property
    def hospital_ids(self) -> Collection[int] | None:
        """The ids of the hospitals; None for an unrestricted scope."""
        return None if self.hospitals is None else [hospital.pk for hospital in self.hospitals]

    @property
    def default_hospital(self) -> Any:
        """The only hospital of the scope, which a device gets if the client sends none. Otherwise None."""
        return self.hospitals[0] if self.hospitals and len(self.hospitals) == 1 else None

    @property
    def number(self) -> int:
        """A number below 2⁶⁴ that identifies the scope: 0 for all hospitals, the id of the only hospital, or a digest.

        A digest has its highest bit set, so that it differs from each id.
        """
        if self.hospitals is None:
            return 0
        if self.default_hospital:
            return int(self.default_hospital.pk)
        ids = ",".join(str(hospital.pk) for hospital in self.hospitals)
        return int.from_bytes(blake2b(ids.encode(), digest_size=8).digest()) | 1 << 63

    def allows(self, hospital_id: int | None) -> bool:
        """Return whether a device of this hospital (None: of no hospital) is in the scope."""
        return self.hospitals is None or any(hospital.pk == hospital_id for hospital in self.hospitals)


UNRESTRICTED = Scope(None)
