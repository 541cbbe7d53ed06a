"""Select the hospitals of a list or by id, and fetch them as JSON. The SQL is compiled, as in queries.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from django.db.models import Q

from devices.api.hospital_json import HospitalJSON
from devices.api.queries import AFTER, ALL, BEFORE, OFFSET, Cut, compiled_scope, in_compiled_scope
from devices.db import compiled, queries
from devices.db.compiled import CompiledQuery, Parameter
from devices.models import Hospital
from devices.models.hospitals import HospitalQuerySet
from devices.values.scope import Scope

LOOKUPS = {"id": "pk", "updated_since": "updated_at__gte", "created_since": "created_at__gte"}
ORDER = {"hospital_name": "name_folded"}  # the column for an ordering that is not a column


@dataclass(frozen=True)
class HospitalSelection:
    """The hospitals in the scope of a key that match filters, in an order. See pagination.Selection.

    `conditions` has the values of the filters by name: see LOOKUPS.
    """

    scope: Scope
    conditions: Mapping[str, Any] = field(default_factory=dict)
    search: str = ""
    ordering: str = "id"

    @property
    def is_filtered(self) -> bool:
        return bool(self.search or self.conditions)

    @property
    def needs_own_plan(self) -> bool:
        return bool(self.search)

    def fetch(self, cut: Cut, naming: str, **position: int | None) -> tuple[int | None, list[str]]:
        """Return the total, None if it is not known, and the hospitals of the page and the next one, as JSON texts."""
        if self.needs_own_plan or cut.kind == OFFSET:
            with queries.plan_each_time():
                page = cut.of(self._hospitals, position).annotate(line=HospitalJSON(naming))
                return None, list(page.values_list("line", flat=True))
        kind, hospitals = compiled_scope(self.scope)
        query = _page(tuple(self.conditions), kind, self.ordering, cut, naming)
        [[total, lines]] = query.fetch(scope=hospitals, **self.conditions, **position)
        return total, lines.split("\n") if lines else []

    def count(self) -> int:
        with queries.plan_each_time():
            return self._hospitals.count()

    @cached_property
    def _hospitals(self) -> HospitalQuerySet:
        hospitals = _select(_listed(self.scope), self.conditions, self.ordering)
        return hospitals.search(self.search) if self.search else hospitals


def find(hospital_id: int, scope: Scope, naming: str) -> str | None:
    """Return the hospital with this id as a JSON text, None if it is not in the scope."""
    kind, hospitals = compiled_scope(scope)
    rows = _detail(kind, naming).fetch(id=hospital_id, scope=hospitals)
    return rows[0][0] if rows else None


def find_successor(hospital_id: int, scope: Scope) -> Hospital | None:
    """Return the hospital in scope into which the hospital with this id was merged, or None.

    The same single query runs for every id, so the response time does not reveal hospitals outside the scope.
    """
    return _listed(scope).filter(former_names__former_id=hospital_id).first()


def _listed(scope: Scope) -> HospitalQuerySet:
    """Return the hospitals that a key with this scope sees."""
    return Hospital.objects.without_sandbox() if scope.hospitals is None else Hospital.objects.in_scope(scope)


def _listed_by_parameter(kind: str) -> HospitalQuerySet:
    """Return the hospitals that a key with a scope of this kind sees. `kind` is from `compiled_scope`."""
    hospitals = Hospital.objects.without_sandbox() if kind == ALL else Hospital.objects.all()
    return in_compiled_scope(hospitals, kind, "pk")


def _select(hospitals: HospitalQuerySet, conditions: Mapping[str, Any], ordering: str) -> HospitalQuerySet:
    """Return the hospitals that match all conditions. A value can be a Parameter."""
    filters = [Q(**{LOOKUPS[name]: value}) for name, value in conditions.items()]
    sign, column = ordering[: ordering.startswith("-")], ordering.removeprefix("-")
    return hospitals.filter(*filters).order_by(*dict.fromkeys([sign + ORDER.get(column, column), "id"]))


@lru_cache(maxsize=1000)
def _page(names: tuple[str, ...], kind: str, ordering: str, cut: Cut, naming: str) -> CompiledQuery:
    """Return the compiled query for the total and one page, for conditions with these names."""
    conditions = {name: Parameter(name, _field_of(name)) for name in names}
    hospitals = _select(_listed_by_parameter(kind), conditions, ordering)
    position = {name: Parameter(name) for name in (AFTER, BEFORE)}
    page = cut.of(hospitals, position).annotate(line=HospitalJSON(naming))
    total = compiled.count(hospitals) if names or kind != ALL else _total()
    return compiled.one_row(total, page.values_list("line"))


def _total() -> CompiledQuery:
    """Return the query for the number of all hospitals without the sandbox.

    A difference, because PostgreSQL counts all rows in half the time that it needs with a condition. The number of
    sandboxes is read from an index.
    """
    query, sandboxes = compiled.count(Hospital.objects.all()), compiled.count(Hospital.objects.filter(sandbox=True))
    query.sql = f"SELECT ({query.sql}) - ({sandboxes.sql})"
    return query


@lru_cache(maxsize=20)
def _detail(kind: str, naming: str) -> CompiledQuery:
    hospitals = _listed_by_parameter(kind).filter(pk=Parameter("id"))
    return CompiledQuery(hospitals.values_list(HospitalJSON(naming)), raw=True)


def _field_of(name: str) -> Any:
    column = LOOKUPS[name].partition("__")[0]
    return None if column == "pk" else Hospital._meta.get_field(column)
