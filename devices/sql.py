"""What Django's ORM does not say: many rows in one statement, with few parameters, on both databases.

`bulk_create` sends a parameter a value and SQLite takes few of them, so its number of statements grows with the
list. Here the database gets the rows as JSON, or a column of them, and one statement does for any number.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from hashlib import blake2b
from typing import Any, cast

import orjson
from django.db import connection, models
from django.db.models.expressions import Expression, RawSQL
from django.db.models.sql.compiler import SQLCompiler

from devices.prepared import Parameter, Prepared

QUEUE = 7_316_001  # an arbitrary number: the name of the lock

# The locks by which PostgreSQL knows from which change on a transaction writes: 16 bits that name them (they stand in
# migration 0008 too), and 48 with the number of the last change that there was before. docs/decisions/0009.
WRITING = 7316
ASKING = 7317  # likewise, with 48 bits of a digest: a request with an Idempotency-Key is running
OPEN_FROM = (
    "SELECT min((classid::int8 & 65535) << 32 | objid::int8) FROM pg_locks "
    f"WHERE locktype = 'advisory' AND objsubid = 1 AND classid::int8 >> 16 = {WRITING} "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()"
)


def any_id(ids: Sequence[int]) -> RawSQL:
    """Return the right side of `__in` for any number of ids, as one parameter."""
    return _any_of(json_list(ids), "bigint")


def any_text(texts: Sequence[str] | Parameter) -> RawSQL:
    """Return the right side of `__in` for any number of texts, as one parameter: a JSON list where it is told later."""
    return _any_of(texts if isinstance(texts, Parameter) else json_list(texts), "text")


def insert(
    model: type[models.Model],
    columns: Mapping[str, Sequence[Any]],
    constants: Mapping[str, Any],
    *,
    ignore_conflicts: bool = False,
) -> list[int]:
    """Insert one row for each place of the columns, all with the constants; return the ids in the order of the rows.

    Both databases number the rows in the order of the SELECT, but may return them in another.
    """
    source, new, params = _rows(model, columns)
    values, more = _values(model, constants)
    conflict = "ON CONFLICT DO NOTHING" if ignore_conflicts else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {_table(model)} ({', '.join([*new, *values])}) "
            f"SELECT {', '.join([*new.values(), *values.values()])} FROM {source} WHERE true ORDER BY place {conflict} "
            "RETURNING id",
            [*more, *params],
        )
        return sorted(row[0] for row in cursor.fetchall())


def update(
    model: type[models.Model], ids: Sequence[int], columns: Mapping[str, Sequence[Any]], constants: Mapping[str, Any]
) -> None:
    """Give each row its own new values, and all of them the constants."""
    source, new, params = _rows(model, {"id": ids, **columns})
    values, more = _values(model, constants)
    same_id = new.pop("id")
    assignments = ", ".join(f"{name} = {value}" for name, value in (new | values).items())
    chosen, chosen_params = _chosen(model, ids)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_table(model)} SET {assignments} FROM {source} WHERE {_table(model)}.id = {same_id}{chosen}",
            [*more, *params, *chosen_params],
        )


def _chosen(model: type[models.Model], ids: Sequence[int]) -> tuple[str, Sequence[Any]]:
    """Return a second condition by which PostgreSQL finds the rows along the index.

    SQLite needs none: it reads the list once and looks for each id. With one it would read the whole list for each id.
    """
    if connection.vendor != "postgresql":
        return "", []
    condition, params = any_id(ids).as_sql(None, connection)  # type: ignore[arg-type]
    return f" AND {_table(model)}.id IN {condition}", params


def delete(model: type[models.Model], ids: Sequence[int]) -> None:
    """Delete the rows without loading them for the signals, which would write their history a second time."""
    condition, params = any_id(ids).as_sql(None, connection)  # type: ignore[arg-type]
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {_table(model)} WHERE id IN {condition}", params)


class IdAt(Expression):
    """The id at a place, from 0, of rows in the order of their ids; null beyond the end. The place is a parameter.

    It is looked for along the index alone, and from the nearer end where the number of rows is known. From the far end
    the place follows from that number: both are as of one instant, so a row that is added meanwhile shifts nothing.
    `number` is a query set of one row with the number, or of no row for 0.
    """

    def __init__(self, rows: "models.QuerySet[Any]", number: "models.QuerySet[Any, Any] | None") -> None:
        super().__init__(output_field=models.BigIntegerField())
        self.ids = rows.order_by("id").values("id")
        self.number = number

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, Any]:
        place = Parameter("place")
        forwards, params = self.ids.query.sql_with_params()
        from_start = f"({forwards} LIMIT 1 OFFSET (SELECT %s))"  # else PostgreSQL would plan anew for each place
        if self.number is None:
            return from_start, [*params, place]
        backwards, same = self.ids.reverse().query.sql_with_params()
        total, more = self.number.query.sql_with_params()
        number = f"coalesce(({total}), 0)"
        from_end = f"({backwards} LIMIT 1 OFFSET (SELECT {number} - 1 - %s))"
        return (
            f"CASE WHEN %s < {number} / 2 THEN {from_start} WHEN %s < {number} THEN {from_end} END",
            [place, *more, *params, place, place, *more, *same, *more, place],
        )


def queue_up() -> None:
    """Wait until no other transaction that queued up is running. SQLite's writers stand in one line anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [QUEUE])


def try_lock(name: str) -> bool:
    """Take the lock of this name until the transaction ends; return whether it was free.

    On SQLite whoever is in a transaction has the only lock there is.
    """
    if connection.vendor != "postgresql":
        return True
    number = ASKING << 48 | int.from_bytes(blake2b(name.encode(), digest_size=6).digest())
    [taken] = fetch_one("SELECT pg_try_advisory_xact_lock(%s)", [number])
    return bool(taken)


def record_history(
    model: Any, ids: Sequence[int], history_type: str, history_date: datetime, **attributes: Any
) -> None:
    """Copy the rows as they stand into the model's history, without a detour through Python.

    An attribute is a value, the same for all, or an expression that gives each row its own.
    """
    values = {"history_type": history_type, "history_date": history_date, **attributes}
    expressions = {name: value for name, value in values.items() if hasattr(value, "resolve_expression")}
    _copy(model, tuple(values), tuple(expressions.items())).run(ids=json_list(ids), **values)


@cache
def _copy(model: Any, names: Sequence[str], expressions: Sequence[tuple[str, Any]]) -> Prepared:
    """Return what copies rows into the history of their model, with these attributes."""
    record = model.history.model
    copied = [field.attname for field in model._meta.concrete_fields if _has_field(record, field.name)]
    known = dict(expressions)
    attributes = [known.get(name) or _Told(name, record._meta.get_field(name)) for name in names]
    rows = model.objects.filter(pk__in=_any_of(Parameter("ids"), "bigint")).order_by("pk")
    columns = ", ".join(_column(record, name) for name in [*copied, *names])
    return Prepared(rows.values_list(*copied, *attributes), f"INSERT INTO {_table(record)} ({columns})", as_sent=True)


def last_change(numbers: "models.QuerySet[Any, int]") -> str:
    """Return SQL for the first number of the query set, and the one behind which somebody is writing; else 0 and NULL.

    Rows of history get their numbers in the order in which they are written, and become visible in the order in which
    their transactions commit. In one statement PostgreSQL first fixes what it sees, then looks who is writing; so
    whoever has a number up to the greatest that it sees either is seen himself or holds a lock, and lower numbers
    come from those only who hold one. SQLite's writers stand in one line, in which both orders are the same.
    """
    number, _params = numbers[:1].query.sql_with_params()
    open_from = OPEN_FROM if connection.vendor == "postgresql" else "NULL"
    return f"SELECT coalesce(({number}), 0), ({open_from})"


@contextmanager
def planned_each_time() -> Iterator[None]:
    """Have PostgreSQL plan each statement for its values.

    psycopg prepares a repeated statement, and PostgreSQL may then use one plan for all values. For a search that plan
    is wrong: it reads every device in the order of ids, or the whole table, whatever the text is.
    """
    if connection.vendor != "postgresql":
        yield
        return
    connection.ensure_connection()
    psycopg_connection: Any = connection.connection
    threshold, psycopg_connection.prepare_threshold = psycopg_connection.prepare_threshold, None
    try:
        yield
    finally:
        psycopg_connection.prepare_threshold = threshold


def fetch_one(query: str, params: Sequence[Any] = ()) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        return tuple(cursor.fetchone())


class _Told(Parameter):
    """A parameter in a SELECT list, with its type: PostgreSQL would take any there for text."""

    def as_postgresql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, list[Any]]:
        return f"%s::{_type(self.kept_as)}", [self]


def _any_of(texts: "str | Parameter", kind: str) -> RawSQL:
    """Return the right side of `__in` for the values of a JSON list.

    PostgreSQL takes an array for ten values, and looks for each along the index; a list for a hundred, and reads a
    table of 20,000 devices whole.
    """
    if connection.vendor == "postgresql":
        values = f"SELECT value::{kind} FROM json_array_elements_text(%s) AS value"
        return RawSQL(f"SELECT unnest(ARRAY({values}))", [texts])  # noqa: S611
    return RawSQL("SELECT value FROM json_each(%s)", [texts])


def json_list(values: Sequence[Any]) -> str:
    return orjson.dumps(list(values)).decode()


def _values(model: type[models.Model], constants: Mapping[str, Any]) -> tuple[dict[str, str], list[Any]]:
    """Return SQL for each constant by its column, and its parameters."""
    fields = [_field(model, name) for name in constants]
    typed = "%s::{}" if connection.vendor == "postgresql" else "%s"
    sql = {str(field.column): typed.format(_type(field)) for field in fields}
    params = [
        field.get_db_prep_save(value, connection) for field, value in zip(fields, constants.values(), strict=True)
    ]
    return sql, params


def _rows(model: type[models.Model], columns: Mapping[str, Sequence[Any]]) -> tuple[str, dict[str, str], list[Any]]:
    """Return SQL for a table `new` of the columns and `place`, SQL for each of its values by column, and parameters.

    On PostgreSQL a column is a JSON list: psycopg takes four times as long to send an array.
    """
    fields = [_field(model, name) for name in columns]
    names = [_column(model, name) for name in columns]
    prepared = [_prepared(field, values) for field, values in zip(fields, columns.values(), strict=True)]
    if connection.vendor == "postgresql":
        lists = ", ".join(["json_array_elements_text(%s)"] * len(names))
        source = f"ROWS FROM ({lists}) WITH ORDINALITY AS new({', '.join(names)}, place)"
        values = {name: f"new.{name}::{_type(field)}" for name, field in zip(names, fields, strict=True)}
        return source, values, [orjson.dumps(column).decode() for column in prepared]
    extracts = ", ".join(f"json_extract(value, '$[{i}]') AS {name}" for i, name in enumerate(names))
    source = f"(SELECT {extracts}, key AS place FROM json_each(%s)) AS new"
    rows = orjson.dumps(list(zip(*prepared, strict=True))).decode()
    return source, {name: f"new.{name}" for name in names}, [rows]


def _prepared(field: "models.Field[Any, Any]", values: Sequence[Any]) -> list[Any]:
    """Return the values as the database keeps them. Texts and numbers are kept as they are."""
    return [
        value if value is None or type(value) in (str, int) else field.get_db_prep_save(value, connection)
        for value in values
    ]


def _table(model: type[models.Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _column(model: type[models.Model], name: str) -> str:
    return str(_field(model, name).column)


def _field(model: type[models.Model], name: str) -> "models.Field[Any, Any]":
    return cast("models.Field[Any, Any]", model._meta.get_field(name))


def _type(field: "models.Field[Any, Any]") -> str:
    """Return the column's type without its length: a cast to `varchar(255)` would cut a longer text in silence."""
    return str(field.db_type(connection)).partition("(")[0]


def _has_field(model: type[models.Model], name: str) -> bool:
    return any(field.name == name for field in model._meta.concrete_fields)
