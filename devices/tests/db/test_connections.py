"""Persistent connections to PostgreSQL."""

import threading
import time
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from devices.db import expressions
from devices.models import Device
from devices.tests.support.client import Api
from devices.tests.support.factories import device_payload, register

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no server"),
]


def test_connection_closed_by_the_server_is_replaced() -> None:
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
    state: Any = connection
    state.health_check_enabled, state.health_check_done = True, False  # as at the start of a request
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone()[0] != backend
    assert connection.is_usable()


def test_connection_stays_usable_after_a_failed_statement() -> None:
    with pytest.raises(Exception, match="division by zero"), connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")
    assert connection.is_usable()


def prepared() -> list[str]:
    """Return the statements that this connection has prepared."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [row[0] for row in cursor.fetchall()]


def test_repeated_statements_are_prepared_and_searches_are_not(api: Api) -> None:
    register(device_payload(1))
    for _ in range(10):
        for query in ("", "?search=cuff", "?device_holder=unknown&ordering=device_name"):
            assert api.get(f"/api/devices{query}").status_code == 200
    statements = prepared()
    assert [statement for statement in statements if "AS page" in statement]
    assert not [statement for statement in statements if "LIKE" in statement and "devices_device" in statement]
    assert not [statement for statement in statements if 'ORDER BY "devices_device"."device_name"' in statement]


def test_list_of_ids_uses_the_index() -> None:
    register(*(device_payload(n) for n in range(1, 20_001)))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE devices_device")
    plan = Device.objects.filter(pk__in=expressions.in_ids([7])).explain()
    assert "Seq Scan" not in plan, plan


def test_searches_of_the_admin_are_not_prepared(operator: Client) -> None:
    register(device_payload(1))
    for _ in range(10):
        assert operator.get("/admin/devices/device/?q=cuff").status_code == 200
    assert not [statement for statement in prepared() if "LIKE" in statement and "devices_device" in statement]
