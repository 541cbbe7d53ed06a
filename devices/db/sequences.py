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
