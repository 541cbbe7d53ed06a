"""Sequences of ids."""

from typing import Any


def skip_to(connection: Any, table: str, last: int) -> None:
    """Let the next row of the table get an id above `last`. A sequence that is further already stays as it is."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_get_serial_sequence(%s, 'id')", [table])
            (sequence,) = cursor.fetchone()
            cursor.execute(
                f"SELECT setval(%s, %s) FROM {sequence} WHERE last_value < %s OR NOT is_called",
                [sequence, last, last + 1],
            )
            return
        cursor.execute("UPDATE sqlite_sequence SET seq = max(seq, %s) WHERE name = %s", [last, table])
        if not cursor.rowcount:
            cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, last])


def skip(connection: Any, table: str, column: str, number: int) -> int:
    """Skip this number of ids of the table, and return the last one that is skipped.

    column: the primary key, which the database numbers.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", [table, column])
            (sequence,) = cursor.fetchone()
            cursor.execute(f"SELECT setval(%s, last_value + %s) FROM {sequence}", [sequence, number])
        else:
            cursor.execute("UPDATE sqlite_sequence SET seq = seq + %s WHERE name = %s RETURNING seq", [number, table])
            if not (rows := cursor.fetchall()):
                cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, number])
            return int(rows[0][0]) if rows else number
        return int(cursor.fetchone()[0])
