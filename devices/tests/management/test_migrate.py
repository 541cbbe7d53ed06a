"""`migrate` waits only briefly for a lock, and tries again."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, ProgrammingError, connection, transaction

from devices.db import online
from devices.db.triggers import counts, definitions, feed
from devices.management.commands import migrate

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite limits the wait of each connection"),
]


@pytest.fixture(autouse=True)
def _short(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DATABASE_LOCK_TIMEOUT = 0.1
    monkeypatch.setattr(migrate, "ATTEMPTS", 3)
    monkeypatch.setattr(migrate, "PAUSE", 0)


@contextmanager
def writing() -> Iterator[psycopg.Connection]:
    """Another transaction has written a change, so it has a lock that CREATE TRIGGER waits for."""
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None}) as other:
        other.execute("LOCK devices_historicaldevice IN ROW EXCLUSIVE MODE")
        yield other
        other.rollback()


def current_timeout() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        return str(cursor.fetchone()[0])


def test_migrate_ends_with_one_line_if_a_lock_stays(capsys: pytest.CaptureFixture[str]) -> None:
    definitions.drop(connection, feed.SHIPPED)
    with writing(), pytest.raises(CommandError, match="Another transaction has had a lock for 3 attempts"):
        call_command("migrate", verbosity=0)
    assert capsys.readouterr().err.count("Another transaction has a lock.") == 2
    assert current_timeout() == "0"
    call_command("migrate", verbosity=0)
    assert definitions.changed(connection, feed.SHIPPED) == []


def test_migrate_succeeds_when_the_lock_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    definitions.drop(connection, feed.SHIPPED)
    with writing() as other:
        monkeypatch.setattr(time, "sleep", lambda _seconds: other.rollback())
        call_command("migrate", verbosity=0)
    assert definitions.changed(connection, feed.SHIPPED) == []


def test_migrate_keeps_a_limit_of_the_connection() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '7s'")
    try:
        with online.lock_timeout(connection, 1):
            assert current_timeout() == "7s"
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")


def test_error_of_a_lost_connection_is_not_hidden() -> None:
    with (
        pytest.raises(OperationalError, match="terminating connection"),
        online.lock_timeout(connection, 1),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    connection.close()


def test_error_in_a_transaction_is_not_hidden() -> None:
    with (
        pytest.raises(ProgrammingError, match="no_such_table"),
        transaction.atomic(),
        online.waiting_without_blocking(connection),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT * FROM no_such_table")


def test_error_that_rolls_back_is_not_hidden() -> None:
    with (
        pytest.raises(ZeroDivisionError),
        transaction.atomic(),
        online.waiting_without_blocking(connection),
        transaction.atomic(savepoint=False),
    ):
        raise ZeroDivisionError


def test_a_changed_function_waits_for_no_writer() -> None:
    """An upgrade usually changes the functions of triggers, and not the triggers."""
    with connection.cursor() as cursor:
        for kind in (counts, feed):
            for key in kind.SHIPPED["postgresql"]:
                if key.startswith("FUNCTION"):
                    cursor.execute(f"ALTER {key} COST 7")
    assert definitions.changed(connection, feed.SHIPPED) != []
    with writing() as other:
        other.execute("LOCK devices_device IN ROW EXCLUSIVE MODE")
        call_command("migrate", verbosity=0)
    assert definitions.changed(connection, feed.SHIPPED) == []


def test_an_interrupted_concurrent_index_is_built_again() -> None:
    """A concurrent build waits for old transactions, and leaves an invalid index if it is interrupted."""
    index = "devices_device USING btree (device_type)"
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '50ms'")
        with writing() as other:
            other.execute("LOCK devices_device IN ROW EXCLUSIVE MODE")
            with pytest.raises(OperationalError, match="lock timeout"):
                cursor.execute(f"CREATE INDEX CONCURRENTLY device_interrupted ON {index}")
        cursor.execute("RESET lock_timeout")
        cursor.execute(online.LEFT_INVALID, ["device_interrupted"])
        assert cursor.fetchone() == (True,)
        try:
            online.create_index(connection, "device_interrupted", index)
            cursor.execute(online.LEFT_INVALID, ["device_interrupted"])
            assert cursor.fetchone() is None
        finally:
            cursor.execute("DROP INDEX device_interrupted")


def test_a_concurrent_build_waits_longer_than_the_limit() -> None:
    with writing() as other, online.lock_timeout(connection, 0.05):
        other.execute("LOCK devices_device IN ROW EXCLUSIVE MODE")
        release = threading.Timer(0.3, other.rollback)
        release.start()
        online.create_index(connection, "device_later", "devices_device USING btree (device_type)")
        release.join()
        assert current_timeout() == "50ms"
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX device_later")
