"""Query expressions that Django's ORM does not have."""

from collections.abc import Sequence
from typing import Any

import orjson
from django.db import connection, models
from django.db.models.expressions import Expression, Func, RawSQL

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


class IsAny(Func):
    """The condition that a column has one of any number of ids, in one SQL parameter: `filter(IsAny(column, ids))`.

    Unlike with `in_ids`, PostgreSQL plans for the ids themselves: use it where the plan depends on how many rows they
    have. A list would have a parameter for each id, which takes a tenth of a second for 3,000 ids.
    """

    output_field = models.BooleanField()

    def __init__(self, column: str, ids: Sequence[int]) -> None:
        super().__init__(column)
        self.ids = list(ids)

    def as_sql(self, compiler: Any, connection: Any, *_args: Any, **_context: Any) -> tuple[str, Any]:
        sql, params = compiler.compile(self.source_expressions[0])
        return f"{sql} IN (SELECT value FROM json_each(%s))", [*params, json_list(self.ids)]

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        sql, params = compiler.compile(self.source_expressions[0])
        return f"{sql} = ANY(%s::bigint[])", [*params, self.ids]


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


class PageIds(Expression):
    """The ids of `rows[start:end]`, for `pk__in`. The rows match a condition that few rows of the table may meet.

    On PostgreSQL the limit is a subquery, so the planner does not know it, and plans for a tenth of the rows. It also
    does not know how few rows contain a text. With a limit of 21, it would read the table in the order of the page
    until 21 rows match. For a name of one in 10,000,000 devices, that takes half a minute instead of 0.1 s.
    """

    def __init__(self, rows: "models.QuerySet[Any]", start: int, end: int) -> None:
        super().__init__(output_field=models.BigIntegerField())
        self.ids, self.start, self.size = rows.values_list("pk"), start, end - start

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        ids = CompiledQuery(self.ids, raw=True)
        return f"({ids.sql} LIMIT {self.size:d} OFFSET {self.start:d})", ids.params

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        ids = CompiledQuery(self.ids, raw=True)
        page = f"{ids.sql} LIMIT (SELECT {self.size:d}) OFFSET (SELECT {self.start:d})"
        return f"(SELECT unnest(ARRAY({page})))", ids.params


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
