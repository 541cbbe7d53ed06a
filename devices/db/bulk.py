"""Insert, update and delete any number of rows in one statement.

The values are sent as JSON: PostgreSQL gets one parameter for each column, SQLite one for all. Decision 1 has the
reason and the measurements.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection, models

from devices.db.compiled import type_of
from devices.db.expressions import in_ids, json_list


def insert(model: type[models.Model], columns: Mapping[str, Sequence[Any]], constants: Mapping[str, Any]) -> list[int]:
    """Insert rows, and return their ids in the order of the rows.

    columns: the values by the attname of their field, such as `device_holder_id`. All lists have the same length.
    constants: the values that are the same in all rows, by the attname of their field.

    Both databases assign ids in the order of the SELECT, but may return them in another order. So they are sorted.
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
    """Set the columns of each row to its own new values.

    columns: the new values by the attname of their field. Each list has a value for each id.
    """
    source, values, params = _new_rows(model, {"id": ids, **columns}, {})
    table, same_id = model._meta.db_table, values.pop("id")
    assignments = ", ".join(f"{column} = {value}" for column, value in values.items())
    condition = f"{table}.id = {same_id}"
    if connection.vendor == "postgresql":  # it then uses the index; SQLite would read the list once for each row
        among = in_ids(ids)
        condition, params = f"{condition} AND {table}.id IN ({among.sql})", [*params, *among.params]
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {assignments} FROM {source} WHERE {condition}", params)


def delete(model: type[models.Model], ids: Sequence[int]) -> None:
    """Delete the rows, and send no signals: Django would load the rows, and their history would be written twice."""
    among = in_ids(ids)
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {model._meta.db_table} WHERE id IN ({among.sql})", among.params)


def _new_rows(
    model: type[models.Model], columns: Mapping[str, Sequence[Any]], constants: Mapping[str, Any]
) -> tuple[str, dict[str, str], list[Any]]:
    """Return a FROM clause of the new rows, the SQL of each value by its column, and the parameters.

    The FROM clause has the position of each row as `place`. PostgreSQL gets a JSON list for each column, because
    psycopg takes four times as long to send an array.
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
