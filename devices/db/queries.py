"""Helpers that run a single statement."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection


@contextmanager
def plan_each_time() -> Iterator[None]:
    """Make PostgreSQL plan each statement of the block for its own values.

    psycopg prepares a repeated statement. PostgreSQL may then use the same plan for all values. Such a plan is slow for
    a search: it reads all devices in the order of ids, or the whole table, for every text.
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
    """Run a query that returns at least one row, and return the first."""
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        return tuple(cursor.fetchone())
