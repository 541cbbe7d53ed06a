"""Query expressions that Django's ORM does not have."""

from collections.abc import Sequence
from typing import Any

import orjson
from django.db import connection, models
from django.db.models.expressions import Expression, RawSQL

from devices.db.compiled import CompiledQuery, Parameter


def in_ids(ids: Sequence[int] | Parameter) -> RawSQL:
    """Return the right side of `__in` for any number of ids, in one SQL parameter.

    For a Parameter, the caller of `fetch` passes a `json_list`.
    """
    return _any_of(ids, "bigint")


def in_texts(texts: Sequence[str] | Parameter) -> RawSQL:
    """Return the right side of `__in` for any number of texts: see `in_ids`."""
    return _any_of(texts, "text")


def _any_of(values: Sequence[Any] | Parameter, kind: str) -> RawSQL:
    """Return a subquery of the values.

    On PostgreSQL it is an array, for which the planner estimates ten values and uses the index. For a list it would
    estimate a hundred values, and read all of a table with 20,000 devices.
    """
    params = [values if isinstance(values, Parameter) else json_list(values)]
    text = "SELECT value FROM json_each(%s)"
    if connection.vendor == "postgresql":
        text = f"SELECT unnest(ARRAY(SELECT value::{kind} FROM json_array_elements_text(%s) AS value))"
    return RawSQL(text, params)  # noqa: S611  (its text has no values)


def json_list(values: Sequence[Any]) -> str:
    """Return the values as a JSON array, the parameter of `in_ids` and `in_texts`."""
    return orjson.dumps(list(values)).decode()


class IdsInGroups(Expression):
    """The ids of one page of the rows of several groups, in the order of ids, for `pk__in`.

    rows: the rows of all groups, or on PostgreSQL those of one group, whose condition is GROUP: for each group it reads
    the first rows in the index of group and id. With `IN`, it would sort all rows of all groups. SQLite stops itself.
    groups: the Parameter with a `json_list` of the groups.
    order: `id` or `-id`.
    skips: the page begins after as many rows as the parameter `place` says, not with the first row.
    """

    GROUP = RawSQL("groups.value::bigint", ())

    def __init__(self, rows: "models.QuerySet[Any]", groups: Parameter, order: str, size: int, *, skips: bool) -> None:
        super().__init__(output_field=models.BigIntegerField())
        self.ids, self.direction = rows.order_by(order).values_list("id"), "DESC" if order == "-id" else "ASC"
        self.groups, self.size, self.skipped = groups, size, [Parameter("place")] if skips else []

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        ids = CompiledQuery(self.ids, raw=True)
        page = f"LIMIT {self.size:d} OFFSET (SELECT %s)" if self.skipped else f"LIMIT {self.size:d}"
        return f"({ids.sql} {page})", [*ids.params, *self.skipped]

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        ids = CompiledQuery(self.ids, raw=True)
        limit, page = f"{self.size:d}", f"LIMIT {self.size:d}"
        if self.skipped:
            limit, page = f"(SELECT {limit} + %s)", f"{page} OFFSET (SELECT %s)"
        return (
            "(SELECT unnest(ARRAY(SELECT first.id FROM json_array_elements_text(%s) AS groups(value) "
            f"CROSS JOIN LATERAL ({ids.sql} LIMIT {limit}) AS first ORDER BY first.id {self.direction} {page})))",
            [self.groups, *ids.params, *self.skipped, *self.skipped],
        )


class JSONList(models.Aggregate):
    """The numbers of a group in ascending order, as a JSON array: `[1,2]`."""

    output_field = models.TextField()
    template = "'[' || %(function)s(%(expressions)s) || ']'"

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        number = "%(expressions)s"
        return self.as_sql(
            compiler, connection, template=f"'[' || string_agg({number}::text, ',' ORDER BY {number}) || ']'"
        )

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, function="group_concat", **context)


class NthId(Expression):
    """The id at a position, counted from 0 in the order of ids; null after the last row.

    The position is the value of the parameter `place`. Only the index is read, from the nearer end if the number of
    rows is known. `number` is a query set of one row with that number, or of no row for 0.
    """

    def __init__(self, rows: "models.QuerySet[Any]", number: "models.QuerySet[Any, Any] | None") -> None:
        super().__init__(output_field=models.BigIntegerField())
        self.ids = rows.order_by("id").values_list("id")
        self.number = number

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        place = Parameter("place")
        forwards = CompiledQuery(self.ids, raw=True)
        params = forwards.params
        from_start = f"({forwards.sql} LIMIT 1 OFFSET (SELECT %s))"  # without SELECT, PostgreSQL plans each place again
        if self.number is None:
            return from_start, [*params, place]
        backwards, total = CompiledQuery(self.ids.reverse(), raw=True), CompiledQuery(self.number, raw=True)
        number, more = f"coalesce(({total.sql}), 0)", total.params
        from_end = f"({backwards.sql} LIMIT 1 OFFSET (SELECT {number} - 1 - %s))"
        return (
            f"CASE WHEN %s < {number} / 2 THEN {from_start} WHEN %s < {number} THEN {from_end} END",
            [place, *more, *params, place, place, *more, *params, *more, place],
        )
