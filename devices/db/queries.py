"""Run one statement."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection


@contextmanager
def plan_each_time() -> Iterator[None]:
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
