"""Query sets that are compiled to SQL once per process, and run with new values each time. Decision 10 has the reason.

Django takes longer to compile a query set than the database takes to run it. PostgreSQL plans a repeated statement
only once.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.db import connection, models
from django.db.models.expressions import Expression


class Parameter(Expression):
    """A placeholder for a value that `fetch` gets by name: `filter(pk__gt=Parameter("after"))`.

    With a field, the value is converted to the field's type. This is necessary for times on SQLite, which stores them
    as text, and for SELECT lists on PostgreSQL, which would treat the value as text.
    """

    def __init__(self, name: str, field: "models.Field[Any, Any] | None" = None) -> None:
        super().__init__(output_field=field)
        self.name = name
        self.stored_as: Any = field

    def bind(self, values: Mapping[str, Any]) -> Any:
        """Return this parameter's value as the database driver takes it."""
        value = values[self.name]
        return self.stored_as.get_db_prep_value(value, connection, prepared=True) if self.stored_as else value

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return "%s", [self]

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return f"%s::{type_of(self.stored_as)}" if self.stored_as else "%s", [self]


@cache
def type_of(field: "models.Field[Any, Any]") -> str:
    """Return the column's type without its length: a cast to `varchar(255)` would silently truncate a longer text."""
    return str(field.db_type(connection)).partition("(")[0]


class CompiledQuery:
    """The SQL of a `values_list` query set with named parameters.

    This is the only place that uses Django's undocumented compiler. No public API returns the SQL of a query set with
    its parameters and the converters of its columns (decision 10).

    raw: return the values as the database driver does. This is right for integers and texts, and saves a loop over the
    rows.
    """

    def __init__(self, rows: "models.QuerySet[Any, Any]", *, raw: bool = False) -> None:
        compiler = rows.query.get_compiler(rows.db, elide_empty=False)
        self.sql, self.params = compiler.as_sql()
        self.converters = {} if raw else compiler.get_converters([column for column, *_ in compiler.select])

    def fetch(self, limit: int | None = None, **values: Any) -> list[tuple[Any, ...]]:
        """Run the query with these values of its parameters, and return the rows, at most `limit`."""
        sql = self.sql
        if limit is not None:
            sql = f"{sql} LIMIT {limit:d}"  # not a parameter: PostgreSQL would plan again for each value
        with connection.cursor() as cursor:
            cursor.execute(sql, self._bind(values))
            rows = cursor.fetchall()
        return list(map(self._convert, rows)) if self.converters else rows

    def insert_into(self, target: str, **values: Any) -> None:
        """Insert the rows into a table without fetching them. `target` is its name with a list of columns."""
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {target} {self.sql}", self._bind(values))

    def _bind(self, values: Mapping[str, Any]) -> list[Any]:
        return [param.bind(values) if isinstance(param, Parameter) else param for param in self.params]

    def _convert(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(row)
        for place, (converters, column) in self.converters.items():
            for convert in converters:
                values[place] = convert(values[place], column, connection)
        return tuple(values)


JOIN_LINES = {"postgresql": r"string_agg(line, E'\n')", "sqlite": "group_concat(line, char(10))"}


def count(rows: "models.QuerySet[Any, Any]") -> CompiledQuery:
    """Return a query for the number of these rows."""
    query = CompiledQuery(rows.order_by().values_list("pk"), raw=True)
    query.sql = f"SELECT count(*) FROM ({query.sql}) AS counted"
    return query


def one_row(
    total: "CompiledQuery | models.QuerySet[Any, Any] | None", page: "models.QuerySet[Any, Any]"
) -> CompiledQuery:
    """Return a query of one row: the total, or null if there is none, and the column `line` of the page.

    The lines are joined with line feeds. The text is empty if the page has no rows.
    """
    query = CompiledQuery(page, raw=True)
    number, params = "NULL", ()
    if total is not None:
        counted = total if isinstance(total, CompiledQuery) else CompiledQuery(total, raw=True)
        number, params = f"coalesce(({counted.sql}), 0)", counted.params
    joined = JOIN_LINES[connection.vendor]
    query.sql = f"SELECT {number}, coalesce({joined}, '') FROM ({query.sql}) AS page"
    query.params = (*params, *query.params)
    return query
