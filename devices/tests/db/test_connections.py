"""Persistent connections to PostgreSQL."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import Error, OperationalError, connection, transaction
from django.test import Client

from cexup.postgresql import base
from devices.db import expressions
from devices.db.transactions import may_be_lost
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


def show(setting: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {setting}")
        return str(cursor.fetchone()[0])


def test_statement_without_a_response_ends_with_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    connection.ensure_connection()
    monkeypatch.setattr(base, "response_timeout", 0.2)
    with pytest.raises(OperationalError, match="did not respond"), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(3)")
    assert not connection.is_usable()
    connection.close()
    with pytest.raises(OperationalError, match="did not respond"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(3)")
    monkeypatch.setattr(base, "response_timeout", None)
    assert show("transaction_read_only") == "off"  # on a new connection


def test_error_of_the_server_does_not_close_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "response_timeout", 5)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 50")
        with pytest.raises(OperationalError, match="statement timeout"):
            cursor.execute("SELECT pg_sleep(30)")
    assert connection.is_usable()
    connection.close()


def test_connection_that_accepts_no_writes_is_replaced_after_the_request() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL transaction_read_only = on")
        with pytest.raises(Error, match="read-only"):
            cursor.execute("DELETE FROM devices_device")
        transaction.set_rollback(True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")  # the request can still read
    assert not connection.is_usable()
    connection.close()


def test_only_data_that_may_be_lost_does_not_wait_for_a_standby() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = on")
    with may_be_lost():
        assert show("synchronous_commit") == "local"
    assert show("synchronous_commit") == "on"
    with transaction.atomic(), may_be_lost():
        assert show("synchronous_commit") == "on"
    connection.close()


def test_new_connection_tries_the_server_of_the_last_one_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise each new connection would wait for a first server that does not respond."""
    params: Any = connection.get_connection_params()
    connection.ensure_connection()
    monkeypatch.setattr(base, "last_server", ("", ""))
    attempts: list[socket.socket] = []

    def reject() -> None:
        attempts.append(lost.accept()[0])
        attempts[0].close()

    with socket.create_server(("127.0.0.1", 0)) as lost:
        rejecting = threading.Thread(target=reject)
        rejecting.start()
        port = connection.connection.info.port
        several = {"host": f"127.0.0.1,{params['host']}", "port": f"{lost.getsockname()[1]},{port}"}
        for balance in ("disable", "disable", *["random"] * 10):
            with connection.get_new_connection({**params, **several, "load_balance_hosts": balance}) as found:
                assert found.info.host == params["host"]
            rejecting.join(10)
            lost.setblocking(False)
            with pytest.raises(BlockingIOError):
                lost.accept()
    assert len(attempts) == 1


def test_one_thread_tries_to_connect_while_the_server_does_not_respond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "HANGS", 0.0)
    params: Any = connection.get_connection_params()

    def try_silent_server(during: Callable[[], None]) -> None:
        """Try to connect, and call the function before the server rejects the attempt."""

        def connect() -> None:
            with pytest.raises(psycopg.OperationalError, match="closed the connection"):
                connection.get_new_connection(to_silent)

        trying = threading.Thread(target=connect)
        trying.start()
        with silent.accept()[0]:
            during()
        trying.join(10)

    def fails_at_once() -> None:
        with pytest.raises(psycopg.OperationalError, match="another thread"):
            connection.get_new_connection(to_silent)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(10)
        to_silent = {**params, "host": "127.0.0.1", "port": str(silent.getsockname()[1]), "sslmode": "disable"}
        try_silent_server(lambda: connection.get_new_connection(params).close())  # it is not known yet
        try_silent_server(fails_at_once)
    for _ in range(2):
        connection.get_new_connection(params).close()
