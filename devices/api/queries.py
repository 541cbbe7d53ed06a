"""The devices that a list selects, and the SQL that fetches one page of them.

Django takes longer to compile a filtered query than PostgreSQL takes to run it: without compiled SQL a filter by MAC
costs 1.75 times as much CPU, a filter by type 2.0 times. So equality and range filters are compiled once per set of
names. A search, and everything else that needs a plan for its value, uses the plain ORM.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from django.db.models import Q

from devices.api.device_json import DeviceJSON
from devices.api.field_names import FIELD_CASES
from devices.db import expressions, queries
from devices.db.compiled import CompiledQuery, Parameter, one_row
from devices.models import Device, DeviceCount, DeviceQuerySet
from devices.values.scope import Scope

FIRST, AFTER, BEFORE, PLACE, OFFSET = "first", "after", "before", "place", "offset"

LOOKUPS = {
    "scope": "device_holder",
    "device_holder": "device_holder",
    "device_name": "device_name",
    "device_mac": "device_mac",
    "device_type": "device_type",
    "updated_since": "updated_at__gte",
    "created_since": "created_at__gte",
}
COUNTED = {"scope", "device_holder", "device_type"}  # the conditions for which the database keeps counts


@dataclass(frozen=True, slots=True)
class Cut:
    """Which part of a selection a page is.

    - FIRST: from the beginning.
    - AFTER, BEFORE: next to an id, in the order of ids.
    - PLACE: from the n-th id on, found along the index of ids. For compiled SQL only, where n is a parameter.
    - OFFSET: from the n-th device on, in any order. The database skips n devices.
    """

    kind: str
    size: int
    offset: int = 0

    def of(self, devices: DeviceQuerySet, position: Mapping[str, Any], total: Any = None) -> DeviceQuerySet:
        """Return the devices of the page, and one more if there is one. The position may be of Parameters."""
        if self.kind == AFTER:
            devices = devices.filter(pk__gt=position["after"])
        elif self.kind == BEFORE:
            devices = devices.filter(pk__lt=position["before"]).order_by("-id")
        elif self.kind == PLACE:
            devices = devices.filter(pk__gte=expressions.NthId(devices, total))
        return devices[self.offset : self.offset + self.size + 1]


@dataclass(frozen=True)
class Selection:
    """A key's scope, narrowed by filters and put in order.

    `conditions` has a value for each name in LOOKUPS that narrows it. A hospital is its id, None for no hospital.
    """

    scope: Scope
    conditions: Mapping[str, Any] = field(default_factory=dict)
    search: str = ""
    ordering: str = "id"

    @property
    def is_filtered(self) -> bool:
        return bool(self.search) or bool(self.conditions.keys() - {"scope"})

    def fetch(self, cut: Cut, naming: str, **position: int | None) -> tuple[int | None, list[str]]:
        """Return the total, None where no count has it, and the page: a JSON object per device, and one more."""
        if self.needs_own_plan or cut.kind == OFFSET:
            return self._fetch_by_orm(cut, naming, position)
        names = tuple(name for name, value in self.conditions.items() if value is not None)
        without_holder = len(names) < len(self.conditions)
        [[total, lines]] = _compiled(names, without_holder, self.ordering, cut, naming).fetch(
            **self.conditions, **position
        )
        return total, lines.split("\n") if lines else []

    def count(self) -> int:
        with queries.plan_each_time():
            return self._devices.count()

    @property
    def needs_own_plan(self) -> bool:
        """The best plan for one hospital's devices in another order depends on how many it has."""
        in_other_order = "device_holder" in self.conditions and self.ordering.lstrip("-") != "id"
        return bool(self.search) or in_other_order or self._is_of_several

    @property
    def _is_of_several(self) -> bool:
        """A scope of several hospitals, or of none, is no condition that is compiled."""
        return self.scope.hospitals is not None and self.scope.default_hospital is None

    def _fetch_by_orm(self, cut: Cut, naming: str, position: Mapping[str, int | None]) -> tuple[int | None, list[str]]:
        total = None
        if not self.search and not self._is_of_several and self.conditions.keys() <= COUNTED:
            total = DeviceCount.objects.having(self.conditions).sum()
        with queries.plan_each_time():
            page = cut.of(self._devices, position).annotate(line=DeviceJSON(FIELD_CASES[naming]))
            return total, list(page.values_list("line", flat=True))

    @cached_property
    def _devices(self) -> DeviceQuerySet:
        devices = _select(self.conditions, self.ordering).in_scope(self.scope)
        return devices.search(self.search, self.scope) if self.search else devices


def _select(conditions: Mapping[str, Any], ordering: str) -> DeviceQuerySet:
    """Return the devices for which all conditions hold. A value may be a Parameter."""
    met = [Q(**{LOOKUPS[name]: value}) for name, value in conditions.items()]
    return Device.objects.filter(*met).order_by(*dict.fromkeys([ordering, "id"]))


@lru_cache(maxsize=1000)
def _compiled(names: tuple[str, ...], without_holder: bool, ordering: str, cut: Cut, naming: str) -> CompiledQuery:
    """Return the SQL for the total and a page of the devices for which conditions of these names hold."""
    conditions: dict[str, Any] = {name: _parameter(name) for name in names}
    if without_holder:
        conditions["device_holder"] = None
    is_counted = conditions.keys() <= COUNTED
    total = DeviceCount.objects.having(conditions).as_total() if is_counted else None
    position = {name: Parameter(name) for name in (AFTER, BEFORE)}
    page = cut.of(_select(conditions, ordering), position, total).annotate(line=DeviceJSON(FIELD_CASES[naming]))
    return one_row(total, page.values_list("line"))


def _parameter(name: str) -> Parameter:
    column, _, _lookup = LOOKUPS[name].partition("__")
    field: Any = None if column == "device_holder" else Device._meta.get_field(column)
    return Parameter(name, field)
