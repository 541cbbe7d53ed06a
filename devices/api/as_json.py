"""A device as the API tells it, written as JSON by the database: its text goes through to the answer as it is.

The one place where SQL writes JSON. It is an expression for any query set of devices, so what a key may see and what
its filters leave is decided there as ever: `devices.values_list("pk", AsJSON(names))`.
"""

from collections.abc import Mapping
from typing import Any

from django.db.models import BigIntegerField, Func, TextField
from django.db.models.expressions import Combinable
from django.db.models.sql.compiler import SQLCompiler

from devices.api.naming import FIELDS
from devices.drafts import UNKNOWN


class Milliseconds(Func):
    """An instant in milliseconds since 1970 UTC."""

    ON_POSTGRESQL = "(date_part('epoch',%(expressions)s)*1000)::int8"
    ON_SQLITE = "CAST(round((julianday(%(expressions)s) - 2440587.5) * 86400000) AS integer)"

    output_field = BigIntegerField()

    def as_postgresql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, template=self.ON_POSTGRESQL)

    def as_sqlite(self, compiler: SQLCompiler, connection: Any, **context: Any) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, template=self.ON_SQLITE)


class AsJSON(Func):
    """A device as a JSON object, with its fields spelt as `names` has it: what DeviceSerializer makes of it.

    On PostgreSQL the text is put together from its parts, at half the time of json_agg(row) and a third of that of
    json_build_object; what may need escaping is escaped by to_json.
    """

    output_field = TextField()

    def __init__(self, names: Mapping[str, str], holder: "str | Combinable" = "device_holder__name") -> None:
        super().__init__(*(field if field != "device_holder" else holder for field in FIELDS))
        self.names = [names.get(field, field) for field in FIELDS]

    def as_postgresql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, list[Any]]:
        instant = Milliseconds.ON_POSTGRESQL.replace("%(expressions)s", "{}")
        values = self._values(compiler, "to_json({})", f"to_json(coalesce({{}},'{UNKNOWN}'))", instant)
        marks = "{" + "," * (len(FIELDS) - 1)
        parts = (f"""'{mark}"{name}":',{value}""" for mark, name, value in zip(marks, self.names, values, strict=True))
        return f"concat({','.join(parts)},'}}')", []

    def as_sqlite(self, compiler: SQLCompiler, connection: Any, **context: Any) -> tuple[str, Any]:
        instant = Milliseconds.ON_SQLITE.replace("%(expressions)s", "{}")
        values = self._values(compiler, "{}", f"ifnull({{}}, '{UNKNOWN}')", instant)
        pairs = (f"'{name}', {value}" for name, value in zip(self.names, values, strict=True))
        return f"json_object({', '.join(pairs)})", []

    def _values(self, compiler: SQLCompiler, text: str, holder: str, instant: str) -> list[str]:
        """Return SQL for each field."""
        written = {"id": "{}", "device_holder": holder, "created_at": instant, "updated_at": instant}
        columns = (compiler.compile(column)[0] for column in self.source_expressions)
        return [written.get(field, text).format(column) for field, column in zip(FIELDS, columns, strict=True)]
