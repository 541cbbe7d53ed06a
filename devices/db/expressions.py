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
