"""SQL that Django's ORM does not write: lists of any length in one statement, the id at a place, locks.

The database gets a list as JSON, in one parameter for each column. docs/decisions/0001 has the reason and the figures.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

import orjson
from django.db import connection, models
from django.db.models.expressions import Expression, RawSQL

from devices.prepared import Parameter, Prepared, type_of

REGISTRY_LOCK = 7_316_001  # an arbitrary number

# The upper 16 bits of the advisory locks of requests with an Idempotency-Key. The lower 48 are a digest of the key.
IDEMPOTENCY = 7317


def any_id(ids: Sequence[int] | Parameter) -> RawSQL:
    """Return the right side of `__in` for any number of ids, as one parameter. A Parameter is given a `json_list`."""
    return _any_of(ids, "bigint")


def any_text(texts: Sequence[str] | Parameter) -> RawSQL:
    """Do as `any_id` does, for texts."""
    return _any_of(texts, "text")


def _any_of(values: Sequence[Any] | Parameter, kind: str) -> RawSQL:
    """Return a subquery of the values.

    PostgreSQL estimates that an array has ten values, and looks each up in the index. It estimates a hundred for a
    list, and reads a table of 20,000 devices as a whole.
    """
    params = [values if isinstance(values, Parameter) else json_list(values)]
    text = "SELECT value FROM json_each(%s)"
    if connection.vendor == "postgresql":
        text = f"SELECT unnest(ARRAY(SELECT value::{kind} FROM json_array_elements_text(%s) AS value))"
    return RawSQL(text, params)  # noqa: S611  (its text has no values)


def json_list(values: Sequence[Any]) -> str:
    return orjson.dumps(list(values)).decode()


def insert(model: type[models.Model], columns: Mapping[str, Sequence[Any]], constants: Mapping[str, Any]) -> list[int]:
    """Insert a row for each place of the columns, all with the constants; return the ids in the order of the rows.

    Both databases number the rows in the order of the SELECT, but may return them in another.
    """
    source, values, params = _new_rows(model, columns, constants)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {model._meta.db_table} ({', '.join(values)}) SELECT {', '.join(values.values())} "
            f"FROM {source} WHERE true ORDER BY place RETURNING id",
            params,
        )
        return sorted(pk for (pk,) in cursor.fetchall())


def update(model: type[models.Model], ids: Sequence[int], columns: Mapping[str, Sequence[Any]]) -> None:
    """Give each row its own new values."""
    source, values, params = _new_rows(model, {"id": ids, **columns}, {})
    table, same_id = model._meta.db_table, values.pop("id")
    assignments = ", ".join(f"{column} = {value}" for column, value in values.items())
    condition = f"{table}.id = {same_id}"
    if connection.vendor == "postgresql":  # to find the rows by the index; SQLite would read the list for each row
        among = any_id(ids)
        condition, params = f"{condition} AND {table}.id IN ({among.sql})", [*params, *among.params]
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {assignments} FROM {source} WHERE {condition}", params)


def delete(model: type[models.Model], ids: Sequence[int]) -> None:
    """Delete the rows without loading them for the signals, which would write their history a second time."""
    among = any_id(ids)
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {model._meta.db_table} WHERE id IN ({among.sql})", among.params)


def _new_rows(
    model: type[models.Model], columns: Mapping[str, Sequence[Any]], constants: Mapping[str, Any]
) -> tuple[str, dict[str, str], list[Any]]:
    """Return a FROM clause of new rows with their `place`, the SQL of each value by its column, and the parameters.

    PostgreSQL gets a JSON list for each column: psycopg takes four times as long to send an array.
    """
    is_postgresql = connection.vendor == "postgresql"
    fields: list[Any] = [model._meta.get_field(name) for name in columns]
    names = [field.column for field in fields]
    stored = [_as_stored(field, values) for field, values in zip(fields, columns.values(), strict=True)]
    if is_postgresql:
        lists = ", ".join(["json_array_elements_text(%s)"] * len(names))
        source = f"ROWS FROM ({lists}) WITH ORDINALITY AS new({', '.join(names)}, place)"
        values = {field.column: f"new.{field.column}::{type_of(field)}" for field in fields}
        params = list(map(json_list, stored))
    else:
        extracts = ", ".join(f"json_extract(value, '$[{i}]') AS {name}" for i, name in enumerate(names))
        source = f"(SELECT {extracts}, key AS place FROM json_each(%s)) AS new"
        values = {name: f"new.{name}" for name in names}
        params = [json_list(list(zip(*stored, strict=True)))]
    same: list[Any] = [model._meta.get_field(name) for name in constants]
    values |= {field.column: f"%s::{type_of(field)}" if is_postgresql else "%s" for field in same}
    return source, values, [*(_as_stored(field, [constants[field.attname]])[0] for field in same), *params]


def _as_stored(field: Any, values: Sequence[Any]) -> list[Any]:
    """Return the values as the database stores them. Texts and numbers need no conversion."""
    return [
        value if value is None or type(value) in (str, int) else field.get_db_prep_save(value, connection)
        for value in values
    ]


class IdAt(Expression):
    """The id at a place, from 0, in the order of ids; null beyond the end. The place is the parameter `place`.

    The index alone is read, from the nearer end if the number of rows is known: `number` is a queryset of one row with
    that number, or of no row for 0.
    """

    def __init__(self, rows: "models.QuerySet[Any]", number: "models.QuerySet[Any, Any] | None") -> None:
        super().__init__(output_field=models.BigIntegerField())
        self.ids = rows.order_by("id").values_list("id")
        self.number = number

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        place = Parameter("place")
        forwards = Prepared(self.ids, as_sent=True)
        params = forwards.params
        from_start = f"({forwards.sql} LIMIT 1 OFFSET (SELECT %s))"  # without SELECT, each place would be planned again
        if self.number is None:
            return from_start, [*params, place]
        backwards, total = Prepared(self.ids.reverse(), as_sent=True), Prepared(self.number, as_sent=True)
        number, more = f"coalesce(({total.sql}), 0)", total.params
        from_end = f"({backwards.sql} LIMIT 1 OFFSET (SELECT {number} - 1 - %s))"
        return (
            f"CASE WHEN %s < {number} / 2 THEN {from_start} WHEN %s < {number} THEN {from_end} END",
            [place, *more, *params, place, place, *more, *params, *more, place],
        )


def queue_up() -> None:
    """Wait for the lock of the registry, and keep it until the transaction ends. SQLite has one writer at a time."""
    if connection.vendor == "postgresql":
        fetch_one("SELECT pg_advisory_xact_lock(%s)", [REGISTRY_LOCK])


def try_lock(name: str) -> bool:
    """Take the lock of this name until the transaction ends; return whether it was free.

    On SQLite a transaction that writes has the only lock there is.
    """
    if connection.vendor != "postgresql":
        return True
    number = IDEMPOTENCY << 48 | int.from_bytes(blake2b(name.encode(), digest_size=6).digest())
    return bool(fetch_one("SELECT pg_try_advisory_xact_lock(%s)", [number])[0])


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
