"""Select the devices of a list, and fetch one page of them.

Django takes longer to compile a filtered query than PostgreSQL takes to execute it. Without compiled SQL, a filter by
MAC takes 1.75 times the CPU, and a filter by type 2.0 times. So equality and range filters are compiled once for each
set of parameter names. A search, and each query whose plan depends on its values, uses the ORM.
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
ALL, ONE, SEVERAL = "all", "one", "several"  # kinds of scopes

LOOKUPS = {
    "scope": "device_holder",
    "device_holder": "device_holder",
    "device_name": "device_name",
    "device_mac": "device_mac",
    "device_type": "device_type",
    "updated_since": "updated_at__gte",
    "created_since": "created_at__gte",
}
COUNTED = {"scope", "device_holder", "device_type"}  # conditions for which the database stores counts


@dataclass(frozen=True, slots=True)
class Cut:
    """The position of a page in a selection.

    - FIRST: the first devices.
    - AFTER, BEFORE: the devices after or before an id, in the order of ids.
    - PLACE: the devices from the n-th id on, which the database finds in the index of ids. Compiled SQL only, with n as
      a parameter.
    - OFFSET: the devices from the n-th on, in any order. The database skips n devices.
    """

    kind: str
    size: int
    offset: int = 0

    def of(self, devices: DeviceQuerySet, position: Mapping[str, Any], total: Any = None) -> DeviceQuerySet:
        """Return the devices of the page, and the next one if there is one. Values in `position` can be Parameters."""
        if self.kind == AFTER:
            devices = devices.filter(pk__gt=position["after"])
        elif self.kind == BEFORE:
            devices = devices.filter(pk__lt=position["before"]).order_by("-id")
        elif self.kind == PLACE:
            devices = devices.filter(pk__gte=expressions.NthId(devices, total))
        return devices[self.offset : self.offset + self.size + 1]


@dataclass(frozen=True)
class Selection:
    """The devices in the scope of a key that match filters, in an order.

    `conditions` has the values of the filters by name: see LOOKUPS. A hospital is an id, None for no hospital.
    """

    scope: Scope
    conditions: Mapping[str, Any] = field(default_factory=dict)
    search: str = ""
    ordering: str = "id"

    @property
    def is_filtered(self) -> bool:
        return bool(self.search) or bool(self.conditions.keys() - {"scope"})

    def fetch(self, cut: Cut, naming: str, **position: int | None) -> tuple[int | None, list[str]]:
        """Return the total, None if no count is stored, and the devices of the page and the next one, as JSON texts."""
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
        """Whether the query needs a plan for its values: the best plan for one hospital's devices in another order than
        by id depends on their number."""
        in_other_order = "device_holder" in self.conditions and self.ordering.lstrip("-") != "id"
        return bool(self.search) or in_other_order or self._has_several_hospitals

    @property
    def _has_several_hospitals(self) -> bool:
        """Whether the scope has several hospitals, or none. This condition is not compiled."""
        return self.scope.hospitals is not None and self.scope.default_hospital is None

    def _fetch_by_orm(self, cut: Cut, naming: str, position: Mapping[str, int | None]) -> tuple[int | None, list[str]]:
        total = None
        if not self.search and not self._has_several_hospitals and self.conditions.keys() <= COUNTED:
            total = DeviceCount.objects.having(self.conditions).sum()
        with queries.plan_each_time():
            page = cut.of(self._devices, position).annotate(line=DeviceJSON(FIELD_CASES[naming]))
            return total, list(page.values_list("line", flat=True))

    @cached_property
    def _devices(self) -> DeviceQuerySet:
        devices = _select(self.conditions, self.ordering).in_scope(self.scope)
        return devices.search(self.search, self.scope) if self.search else devices


def _select(conditions: Mapping[str, Any], ordering: str) -> DeviceQuerySet:
    """Return the devices that match all conditions. A value can be a Parameter."""
    filters = [Q(**{LOOKUPS[name]: value}) for name, value in conditions.items()]
    return Device.objects.filter(*filters).order_by(*dict.fromkeys([ordering, "id"]))


@lru_cache(maxsize=1000)
def _compiled(names: tuple[str, ...], without_holder: bool, ordering: str, cut: Cut, naming: str) -> CompiledQuery:
    """Return the compiled query for the total and one page, for conditions with these names."""
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


def compiled_scope(scope: Scope) -> tuple[str, int | str]:
    """Return the kind of the scope for `in_compiled_scope`, and the value of the parameter `scope`."""
    if scope.hospitals is None:
        return ALL, 0
    if scope.default_hospital:
        return ONE, int(scope.default_hospital.pk)
    return SEVERAL, expressions.json_list([hospital.pk for hospital in scope.hospitals])


def in_compiled_scope(devices: DeviceQuerySet, kind: str) -> DeviceQuerySet:
    """Return the devices of the hospitals in the parameter `scope`. `kind` is from `compiled_scope`.

    With several hospitals, or none, the parameter is a JSON list of ids.
    """
    if kind == ONE:
        return devices.filter(device_holder=Parameter("scope"))
    if kind == SEVERAL:
        return devices.filter(device_holder__in=expressions.in_ids(Parameter("scope")))
    return devices
