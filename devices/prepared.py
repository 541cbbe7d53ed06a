"""Query sets that are compiled once and asked many times, each time with other values.

Django takes longer to make SQL of a query set than the database to answer it. What every request asks is therefore
made into SQL once a process; with the same text each time, PostgreSQL need not plan it again either.
"""

from collections.abc import Iterable
from typing import Any

from django.db import connection, models
from django.db.models.expressions import Expression
from django.db.models.sql.compiler import SQLCompiler


class Parameter(Expression):
    """A value that is told when the query set is asked: `filter(pk__gt=Parameter("after"))`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, list[Any]]:
        return "%s", [self]


class Prepared:
    """A query set of values, as SQL. Asked, it gives rows as `values_list` does; its parameters are given by name."""

    def __init__(self, rows: "models.QuerySet[Any, tuple[Any, ...]]") -> None:
        compiler = rows.query.get_compiler(rows.db, elide_empty=False)
        self.sql, self.params = compiler.as_sql()
        self.converters = compiler.get_converters([column[0] for column in compiler.select])

    def rows(self, limit: int | None = None, offset: int = 0, **values: Any) -> list[tuple[Any, ...]]:
        params = [values[value.name] if isinstance(value, Parameter) else value for value in self.params]
        sql = self.sql
        if limit is not None:
            sql, params = f"{sql} LIMIT %s OFFSET %s", [*params, limit, offset]
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            rows = cursor.fetchall()
        return list(map(self._converted, rows)) if self.converters else rows

    def _converted(self, row: Iterable[Any]) -> tuple[Any, ...]:
        """Return the row as Python has it: SQLite keeps an instant as a text, say."""
        values = list(row)
        for place, (converters, column) in self.converters.items():
            for convert in converters:
                values[place] = convert(values[place], column, connection)
        return tuple(values)
