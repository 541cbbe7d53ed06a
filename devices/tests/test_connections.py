"""Connections to PostgreSQL that are kept from one request to the next."""

import threading
import time

import pytest
from django.db import connection
from psycopg._queries import MAX_CACHED_STATEMENT_LENGTH

from devices import sql
from devices.api.authentication import _working_keys
from devices.api.pagination import USUAL_SIZES, Along, Cut
from devices.models import Device
from devices.tests.conftest import draft, register

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


def prepared() -> list[str]:
    """Return what this connection has had planned once for all."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [row[0] for row in cursor.fetchall()]


def test_what_is_asked_often_is_planned_once_and_a_part_of_a_name_each_time() -> None:
    register(draft(1))
    for _ in range(10):
        assert Device.objects.filter(device_name__contains="uff").count() == Device.objects.filter(pk__gt=0).count()
    assert [statement for statement in prepared() if '"id" > ' in statement]
    assert not [statement for statement in prepared() if "LIKE" in statement]


@pytest.mark.parametrize("kind", ["first", "after", "before"])
@pytest.mark.parametrize("size", USUAL_SIZES)
def test_what_a_list_asks_along_with_its_key_is_parsed_once(kind: str, size: int) -> None:
    asked = _working_keys(Along(Cut(kind, size))).sql
    assert len(asked) <= MAX_CACHED_STATEMENT_LENGTH  # psycopg looks for the parameters of a longer one each time


def test_the_rows_of_a_list_of_ids_are_found_along_the_index() -> None:
    register(*(draft(n) for n in range(1, 20_001)))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE devices_device")
    plan = Device.objects.filter(pk__in=sql.any_id([7])).explain()
    assert "Seq Scan" not in plan, plan
