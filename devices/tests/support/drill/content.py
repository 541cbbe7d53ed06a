"""Compare the rows of a database before and after a restore, table by table."""

import hashlib
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import sql as pg

# The rows that writers change while a backup runs. check_counts compares the counters with the devices.
CHANGING = {"devices_devicecount", "devices_ratelimitcounter", "sqlite_sequence", "sqlite_stat1", "sqlite_stat4"}


class Rows(NamedTuple):
    """The number of rows of a table, a digest of all of their values, and the last number that is compared."""

    number: int
    digest: str
    last: int | None


def of_postgresql(url: str, before: Mapping[str, Rows] | None = None) -> dict[str, Rows]:
    """Return the rows of each table. With `before`, only rows that existed then, by their number."""
    with psycopg.connect(url) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        keys = connection.execute(
            "SELECT c.relname, a.attname FROM pg_class c LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary "
            "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] AND a.attidentity <> '' "
            "WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY 1"
        ).fetchall()
        found = {}
        for table, key in keys:
            if table not in CHANGING:
                last = before[table].last if before else None
                if key and last is None:
                    last = _one(connection, pg.SQL("SELECT max({}) FROM {}").format(*map(pg.Identifier, (key, table))))[
                        0
                    ]
                where = (
                    pg.SQL("WHERE {} <= {}").format(pg.Identifier(key), pg.Literal(last or 0)) if key else pg.SQL("")
                )
                query = pg.SQL(
                    "SELECT count(*), coalesce(md5(string_agg(hash, '' ORDER BY hash)), '') "
                    "FROM (SELECT md5(row::text) AS hash FROM {} AS row {}) AS hashes"
                ).format(pg.Identifier(table), where)
                number, digest = _one(connection, query)
                found[table] = Rows(number, digest, last or 0 if key else None)
        return found


def _one(connection: psycopg.Connection[Any], query: pg.Composed) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    assert row
    return row


def of_sqlite(path: Path, before: Mapping[str, Rows] | None = None) -> dict[str, Rows]:
    """Return the same for an SQLite file."""
    found = {}
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("BEGIN")  # one snapshot of all tables
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1").fetchall()
        for (table,) in tables:
            if table in CHANGING:
                continue
            columns = connection.execute("SELECT name, type, pk FROM pragma_table_info(?)", [table]).fetchall()
            key = next((name for name, kind, pk in columns if pk and kind == "INTEGER"), None)
            last = before[table].last if before else None
            if key and last is None:
                [last] = connection.execute(f'SELECT max("{key}") FROM "{table}"').fetchone()
            order = key or next((name for name, _kind, pk in columns if pk), columns[0][0])
            where = f'WHERE "{key}" <= {last or 0}' if key else ""
            digest, number = hashlib.sha256(), 0
            for row in connection.execute(f'SELECT * FROM "{table}" {where} ORDER BY "{order}"'):
                digest.update(repr(row).encode())
                number += 1
            found[table] = Rows(number, digest.hexdigest(), last or 0 if key else None)
    return found
