"""Query sets that are compiled once and asked many times, each time with other values.

Django takes longer to make SQL of a query set than the database to answer it. What every request asks is therefore
made into SQL once a process; with the same text each time, PostgreSQL need not plan it again either.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection, models
from django.db.models.expressions import Expression
from django.db.models.sql.compiler import SQLCompiler


class Parameter(Expression):
    """A value that is told when the query set is asked: `filter(pk__gt=Parameter("after"))`.

    A value that the database keeps in another form than Python, such as an instant, is put into it by the field.
    """

    def __init__(self, name: str, field: "models.Field[Any, Any] | None" = None) -> None:
        super().__init__(output_field=field)
        self.name = name
        self.kept_as: Any = field

    def of(self, values: Mapping[str, Any]) -> Any:
        value = values[self.name]
        return self.kept_as.get_db_prep_value(value, connection, prepared=True) if self.kept_as else value

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, Any]:
        return "%s", [self]


class Prepared:
    """A query set of values, as SQL. Asked, it gives rows as `values_list` does; its parameters are given by name.

    Rows of integers and texts may be left as they are sent: of a thousand rows Django would look at each.
    Behind an INSERT they go into a table instead.
    """

    def __init__(
        self, rows: "models.QuerySet[Any, tuple[Any, ...]]", insert: str = "", *, as_sent: bool = False
    ) -> None:
        compiler = rows.query.get_compiler(rows.db, elide_empty=False)
        select, self.params = compiler.as_sql()
        self.sql = f"{insert} {select}".lstrip()
        columns = [] if as_sent else [column[0] for column in compiler.select]
        self.converters = compiler.get_converters(columns)

    def rows(self, limit: int | None = None, **values: Any) -> list[tuple[Any, ...]]:
        sql, params = self.sql, self._values(values)
        if limit is not None:
            sql = f"{sql} LIMIT {limit:d}"  # as text: PostgreSQL would plan anew for each value of a parameter
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            rows = cursor.fetchall()
        return list(map(self._converted, rows)) if self.converters else rows

    def run(self, **values: Any) -> None:
        """Run a statement that gives no rows."""
        with connection.cursor() as cursor:
            cursor.execute(self.sql, self._values(values))

    def _values(self, values: Mapping[str, Any]) -> list[Any]:
        return [value.of(values) if isinstance(value, Parameter) else value for value in self.params]

    def _converted(self, row: Iterable[Any]) -> tuple[Any, ...]:
        """Return the row as Python has it: SQLite keeps an instant as a text, say."""
        values = list(row)
        for place, (converters, column) in self.converters.items():
            for convert in converters:
                values[place] = convert(values[place], column, connection)
        return tuple(values)


JOINED = {"postgresql": r"string_agg(line, E'\n')", "sqlite": "group_concat(line, char(10))"}


def one_row(total: "models.QuerySet[Any, Any] | None", page: "models.QuerySet[Any, Any]") -> Prepared:
    """Return SQL for one row: the total, null if none is given, and the `line` of each row of the page, by newlines."""
    prepared = Prepared(page, as_sent=True)
    number, params = "NULL", ()
    if total is not None:
        rows, params = total.query.sql_with_params()
        number = f"coalesce(({rows}), 0)"
    joined = JOINED[connection.vendor]
    prepared.sql = f"SELECT {number}, coalesce({joined}, '') FROM ({prepared.sql}) AS page"  # noqa: S608
    prepared.params = (*params, *prepared.params)
    return prepared
