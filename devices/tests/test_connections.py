"""Connections to PostgreSQL that are kept from one request to the next."""

import threading
import time

import pytest
from django.db import connection

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite is no server"),
]


def test_a_connection_that_the_server_ended_is_noticed_without_asking_and_replaced() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [[backend]] = cursor.fetchall()

    def end() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [backend])
        connection.close()

    assert connection.is_usable()
    other = threading.Thread(target=end)
    other.start()
    other.join()
    for _ in range(100):
        if not connection.is_usable():
            break
        time.sleep(0.05)
    connection.health_check_enabled, connection.health_check_done = True, False  # as when a request begins
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone()[0] != backend
    assert connection.is_usable()


def test_a_failed_statement_leaves_the_connection_usable() -> None:
    with pytest.raises(Exception, match="division by zero"), connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")
    assert connection.is_usable()
