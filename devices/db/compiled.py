"""Querysets that are compiled to SQL once per process and run with other values each time.

Django takes longer to compile a queryset than the database takes to run it. PostgreSQL plans a repeated statement once.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.db import connection, models
from django.db.models.expressions import Expression


class Parameter(Expression):
    """A value that is given when the queryset is run: `filter(pk__gt=Parameter("after"))`.

    With a field, the value is converted and typed as the field's column is: SQLite stores an instant as a text, and
    PostgreSQL would take a value in a SELECT list for a text.
    """

    def __init__(self, name: str, field: "models.Field[Any, Any] | None" = None) -> None:
        super().__init__(output_field=field)
        self.name = name
        self.stored_as: Any = field

    def bind(self, values: Mapping[str, Any]) -> Any:
        value = values[self.name]
        return self.stored_as.get_db_prep_value(value, connection, prepared=True) if self.stored_as else value

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return "%s", [self]

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return f"%s::{type_of(self.stored_as)}" if self.stored_as else "%s", [self]


@cache
def type_of(field: "models.Field[Any, Any]") -> str:
    """Return the column's type without its length: a cast to `varchar(255)` would silently cut a longer text."""
    return str(field.db_type(connection)).partition("(")[0]


class CompiledQuery:
    """The SQL of a `values_list` queryset, whose parameters are given by name.

    This is the only user of Django's undocumented compiler: no public API returns a queryset's SQL with its parameters,
    or what converts its columns (docs/decisions/0010). `raw` leaves the rows unconverted: for integers and texts,
    where Django would look at each of a thousand rows.
    """

    def __init__(self, rows: "models.QuerySet[Any, Any]", *, raw: bool = False) -> None:
        compiler = rows.query.get_compiler(rows.db, elide_empty=False)
        self.sql, self.params = compiler.as_sql()
        self.converters = {} if raw else compiler.get_converters([column for column, *_ in compiler.select])

    def fetch(self, limit: int | None = None, **values: Any) -> list[tuple[Any, ...]]:
        sql = self.sql
        if limit is not None:
            sql = f"{sql} LIMIT {limit:d}"  # as text: PostgreSQL would plan again for each value of a parameter
        with connection.cursor() as cursor:
            cursor.execute(sql, self._bound(values))
            rows = cursor.fetchall()
        return list(map(self._converted, rows)) if self.converters else rows

    def insert_into(self, target: str, **values: Any) -> None:
        """Write the rows to a table, without fetching them."""
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {target} {self.sql}", self._bound(values))

    def _bound(self, values: Mapping[str, Any]) -> list[Any]:
        return [param.bind(values) if isinstance(param, Parameter) else param for param in self.params]

    def _converted(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(row)
        for place, (converters, column) in self.converters.items():
            for convert in converters:
                values[place] = convert(values[place], column, connection)
        return tuple(values)


JOINED = {"postgresql": r"string_agg(line, E'\n')", "sqlite": "group_concat(line, char(10))"}


def one_row(total: "models.QuerySet[Any, Any] | None", page: "models.QuerySet[Any, Any]") -> CompiledQuery:
    """Return the SQL for one row: the total (null if none is given), and the `line` of each row of the page, joined."""
    prepared = CompiledQuery(page, raw=True)
    number, params = "NULL", ()
    if total is not None:
        counted = CompiledQuery(total, raw=True)
        number, params = f"coalesce(({counted.sql}), 0)", counted.params
    joined = JOINED[connection.vendor]
    prepared.sql = f"SELECT {number}, coalesce({joined}, '') FROM ({prepared.sql}) AS page"
    prepared.params = (*params, *prepared.params)
    return prepared
