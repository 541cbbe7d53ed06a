"""Select the devices of a list, and fetch one page of them.

Django takes longer to compile a filtered query than PostgreSQL takes to execute it. Without compiled SQL, a filter by
MAC takes 1.75 times the CPU, and a filter by type 2.0 times. So equality and range filters are compiled once for each
set of parameter names. A search, and each query whose plan depends on its values, uses the ORM.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Model, Q, QuerySet

from devices.api.device_json import DeviceJSON
from devices.db import expressions, queries
from devices.db.compiled import CompiledQuery, Parameter, one_row
from devices.models import Device, DeviceCount, DeviceQuerySet
from devices.values.scope import Scope

Row = TypeVar("Row", bound=Model)
Rows = TypeVar("Rows", bound=QuerySet[Any])

FIRST, AFTER, BEFORE, PLACE, OFFSET = "first", "after", "before", "place", "offset"
ALL, ONE, SEVERAL = "all", "one", "several"  # kinds of scopes

LOOKUPS = {
    "scope": "device_holder",
    "hospitals": "device_holder__in",
    "device_holder": "device_holder",
    "device_name": "device_name",
    "device_mac": "device_mac",
    "device_type": "device_type",
    "updated_since": "updated_at__gte",
    "created_since": "created_at__gte",
}
OF_SCOPE = {"scope", "hospitals"}  # the conditions that the scope sets: its only hospital, or a list
COUNTED = OF_SCOPE | {"device_holder", "device_type"}  # conditions for which the database stores counts
SINCE = {"updated_since", "created_since"}  # conditions that may find few devices of many, or nearly all
SELECTIVE = {"device_name", "device_mac", "device_holder"}  # conditions for which an index is used, not the scope


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

    def of(self, rows: QuerySet[Row], position: Mapping[str, Any], total: Any = None) -> QuerySet[Row]:
        """Return the rows of the page, and the next one if there is one. Values in `position` can be Parameters."""
        rows = self.beginning(rows, position)
        if self.kind == PLACE:
            rows = rows.filter(pk__gte=expressions.NthId(rows, total))
        return rows[self.offset : self.offset + self.size + 1]

    def beginning(self, rows: QuerySet[Row], position: Mapping[str, Any]) -> QuerySet[Row]:
        """Return the rows after or before the id of the position, in the order in which the page is read."""
        if self.kind == AFTER:
            return rows.filter(pk__gt=position["after"])
        if self.kind == BEFORE:
            return rows.filter(pk__lt=position["before"]).order_by("-id")
        return rows


@dataclass(frozen=True)
class Selection:
    """The devices in the scope of a key that match filters, in an order.

    `conditions` has the values of the filters by name: see LOOKUPS. A hospital is an id, None for no hospital.
    `hospitals` is the list of the ids of a scope with several hospitals, or with none.
    """

    scope: Scope
    conditions: Mapping[str, Any] = field(default_factory=dict)
    search: str = ""
    ordering: str = "id"

    @property
    def is_filtered(self) -> bool:
        return bool(self.search) or bool(self.conditions.keys() - OF_SCOPE)

    def fetch(self, cut: Cut, naming: str, **position: int | None) -> tuple[int | None, list[str]]:
        """Return the total, None if no count is stored, and the devices of the page and the next one, as JSON texts."""
        if self.needs_own_plan or cut.kind == OFFSET:
            return self._fetch_by_orm(cut, naming, position)
        names = tuple(name for name, value in self.conditions.items() if value is not None)
        without_holder = len(names) < len(self.conditions)
        values = {**self.conditions, **position}
        if "hospitals" in values:
            values["hospitals"] = expressions.json_list(values["hospitals"])
        query = _compiled(names, without_holder, self.ordering, cut, naming)
        with queries.plan_each_time() if self.conditions.keys() & SINCE else nullcontext():
            [[total, lines]] = query.fetch(**values)
        return total, lines.split("\n") if lines else []

    def count(self) -> int:
        with queries.plan_each_time():
            return self._devices.count()

    @property
    def needs_own_plan(self) -> bool:
        """Whether the query needs a plan for its values: the best plan for one hospital's devices in another order than
        by id depends on their number."""
        by_holder = bool(self.conditions.keys() & {"device_holder", "hospitals"})
        return bool(self.search) or (by_holder and self.ordering.lstrip("-") != "id")

    def _fetch_by_orm(self, cut: Cut, naming: str, position: Mapping[str, int | None]) -> tuple[int | None, list[str]]:
        total = None
        if not self.search and self.conditions.keys() <= COUNTED:
            total = DeviceCount.objects.having(self.conditions).sum()
        with queries.plan_each_time():
            page = cut.of(self._devices, position)
            if self.search:
                page = _found(self._devices, self.ordering, cut, position)
            return total, list(page.annotate(line=DeviceJSON(naming)).values_list("line", flat=True))

    @cached_property
    def _devices(self) -> DeviceQuerySet:
        conditions = {name: value for name, value in self.conditions.items() if name != "hospitals"}
        devices = _select(conditions, self.ordering).in_scope(self.scope)
        return devices.search(self.search, self.scope) if self.search else devices


def _found(devices: DeviceQuerySet, ordering: str, cut: Cut, position: Mapping[str, Any]) -> QuerySet[Device]:
    """Return the devices of a page of a selection that may have few of many devices: see PageIds."""
    ids = expressions.PageIds(cut.beginning(devices, position), cut.offset, cut.offset + cut.size + 1)
    order = ["-id"] if cut.kind == BEFORE else dict.fromkeys([ordering, "id"])
    return Device.objects.filter(pk__in=ids).order_by(*order)


def _select(conditions: Mapping[str, Any], ordering: str) -> DeviceQuerySet:
    """Return the devices that match all conditions. A value can be a Parameter."""
    filters = [
        Q(**{LOOKUPS[name]: expressions.in_ids(value) if name == "hospitals" else value})
        for name, value in conditions.items()
    ]
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
    page = _page(conditions, ordering, cut, position, total).annotate(line=DeviceJSON(naming))
    return one_row(total, page.values_list("line"))


def _page(
    conditions: Mapping[str, Any], ordering: str, cut: Cut, position: Mapping[str, Any], total: Any
) -> QuerySet[Device]:
    """Return the devices of a page.

    For several hospitals in the order of ids, a subquery finds the ids with the index of hospital and id, so that only
    the devices of the page are read.
    """
    selected = _select(conditions, ordering)
    if "hospitals" not in conditions or conditions.keys() & SELECTIVE:
        if conditions.keys() & SINCE and cut.kind != PLACE:
            return _found(selected, ordering, cut, position)
        return cut.of(selected, position, total)
    if connection.vendor == "postgresql":
        of_one = {name: value for name, value in conditions.items() if name != "hospitals"}
        found = _select({**of_one, "device_holder": expressions.IdsInGroups.GROUP}, ordering)
    else:
        found = _select(conditions, ordering)
    order = "-id" if cut.kind == BEFORE else ordering
    groups, skips = conditions["hospitals"], cut.kind == PLACE
    ids = expressions.IdsInGroups(cut.beginning(found, position), groups, order, cut.size + 1, skips=skips)
    return Device.objects.filter(pk__in=ids).order_by(order)


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


def in_compiled_scope(rows: Rows, kind: str, column: str = "device_holder") -> Rows:
    """Return the rows of the hospitals in the parameter `scope`. `kind` is from `compiled_scope`.

    With several hospitals, or none, the parameter is a JSON list of ids.
    """
    if kind == ONE:
        return rows.filter(**{column: Parameter("scope")})
    if kind == SEVERAL:
        return rows.filter(**{f"{column}__in": expressions.in_ids(Parameter("scope"))})
    return rows
