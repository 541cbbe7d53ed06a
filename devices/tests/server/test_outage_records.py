"""An outage of the database is one line of the log, without a traceback, and at most one in 10 seconds per cause."""

import io
import logging
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import (
    Error,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler, DatabaseErrorWrapper
from django.test import Client

from cexup import logs
from cexup.logs import REPEAT_OUTAGES, RepeatedOutages
from devices.crypto import keys
from devices.tests.support.client import Api
from devices.tests.support.logs import FORMATTERS, captured, records
from devices.tests.support.services.server import ROOT

pytestmark = pytest.mark.django_db

REFUSED = (
    'connection failed: connection to server at "10.0.0.1", port 5432 failed: Connection refused\n\tIs it running?'
)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=FORMATTERS)
def log_format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stream(log_format: str, clock: Clock) -> Iterator[io.StringIO]:
    """The log, with the filter of the application."""
    with captured(log_format, RepeatedOutages(clock)) as written:
        yield written


def connect(host: str, port: object) -> None:
    """Connect to PostgreSQL as Django does, with a password."""
    database = {"ENGINE": "cexup.postgresql", "NAME": "registry", "USER": "registry_app", "PASSWORD": "hunter2"}
    settings = {"default": {**database, "HOST": host, "PORT": port, "OPTIONS": {"connect_timeout": 5}}}
    ConnectionHandler(settings)["default"].ensure_connection()


def refused() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # it does not listen
        connect("127.0.0.1", bound.getsockname()[1])


def all_refused() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        connect("127.0.0.1,localhost", f"{port},{port}")


def unresolved() -> None:
    connect("no such host", 5432)


def sqlstate(code: str, text: str, wrapper: type[Error] = OperationalError) -> Callable[[], None]:
    def fail() -> None:
        raise wrapper(text) from psycopg.errors.lookup(code)(text)

    return fail


KINDS: dict[str, Callable[[], None]] = {
    "refused": refused,
    "all hosts refused": all_refused,
    "unresolved": unresolved,
    "closed": sqlstate("08006", "server closed the connection unexpectedly\n\tThis probably means the server ended."),
    "wrong password": sqlstate("28P01", 'FATAL:  password authentication failed for user "registry_app"'),
    "too many clients": sqlstate("53300", "FATAL:  sorry, too many clients already"),
    "shutting down": sqlstate("57P03", "FATAL:  the database system is shutting down"),
    "terminated": sqlstate("57P01", "terminating connection due to administrator command"),
    "statement timeout": sqlstate("57014", "canceling statement due to statement timeout\nCONTEXT:  hunter2"),
    "lock timeout": sqlstate("55P03", "canceling statement due to lock timeout"),
    "read-only": sqlstate("25006", "cannot execute UPDATE in a read-only transaction", InternalError),
    "idle": sqlstate("25P03", "terminating connection due to idle-in-transaction timeout", InternalError),
    "plan": sqlstate("0A000", "cached plan must not change result type", NotSupportedError),
    "full": sqlstate("53100", "could not extend file\nDETAIL:  hunter2\nHINT:  Check free disk space."),
    "connect timeout": sqlstate("08001", "connection timeout expired"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_outage_is_one_line_with_its_cause(stream: io.StringIO, kind: str) -> None:
    with pytest.raises(Error) as raised:
        KINDS[kind]()
    logging.getLogger("django.request").error("The database failed: %s", "/api/devices", exc_info=raised.value)
    [line] = stream.getvalue().splitlines()
    assert "Traceback" not in line
    assert "traceback" not in line
    assert "hunter2" not in line
    assert type(raised.value.__cause__).__name__ in line
    assert 0 < line.find("The database failed: /api/devices: ") < len(line) - 60
    assert len(line) < 1500


def select_missing_column() -> None:
    with sqlite3.connect(":memory:") as memory, DatabaseErrorWrapper(connection):
        memory.execute("SELECT missing")


@pytest.mark.parametrize(
    "fail",
    [
        sqlstate("42703", "no such column", ProgrammingError),
        sqlstate("XX001", "corrupt", InternalError),
        pytest.param(
            select_missing_column,
            marks=pytest.mark.skipif(connection.vendor != "sqlite", reason="The wrapper has the errors of one driver"),
        ),
    ],
)
def test_real_error_of_the_database_keeps_its_traceback(stream: io.StringIO, fail: Callable[[], None]) -> None:
    with pytest.raises(Error) as raised:
        fail()
    for _ in range(3):
        logging.getLogger("devices").error("It failed", exc_info=raised.value)
    assert stream.getvalue().count("Traceback (most recent call last)") >= 3


@pytest.fixture
def no_database(db: None) -> Iterator[None]:
    def fail(*_args: Any) -> None:
        raise OperationalError(REFUSED) from psycopg.OperationalError(REFUSED)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseWrapper, "cursor", fail)
        yield


@pytest.mark.usefixtures("no_database")
@pytest.mark.parametrize("path", ["/api/devices", "/readyz", "/admin/", "/admin/devices/device/"])
def test_request_without_a_database_writes_one_line(stream: io.StringIO, log_format: str, path: str) -> None:
    client = Client(raise_request_exception=False)
    client.cookies[django_settings.SESSION_COOKIE_NAME] = "a" * 32
    response = client.get(path, headers={"x-api-key": keys.generate()})
    assert response.status_code == 503
    [line] = stream.getvalue().splitlines()
    assert "Connection refused Is it running?" in line
    if log_format == "json":
        assert records(stream)[0]["level"] == "ERROR"


@pytest.mark.usefixtures("no_database")
def test_outage_is_written_once_in_ten_seconds(stream: io.StringIO, clock: Clock) -> None:
    api = Api(keys.generate())
    for _ in range(5):
        assert api.get("/api/devices").status_code == 503
    clock.now += REPEAT_OUTAGES - 0.1
    assert api.get("/api/device/1").status_code == 503
    assert len(stream.getvalue().splitlines()) == 1
    clock.now += 0.1
    api.get("/api/devices")
    first, second = stream.getvalue().splitlines()
    assert "not logged" not in first
    assert "(not logged since the last such record: 5)" in second


def test_cause_follows_a_message_that_is_a_sentence(stream: io.StringIO) -> None:
    with pytest.raises(Error) as raised:
        KINDS["shutting down"]()
    logging.getLogger("cexup.health").error("The database does not respond.", exc_info=raised.value)
    assert "The database does not respond: " in stream.getvalue()


def test_each_cause_is_written(stream: io.StringIO) -> None:
    for kind in ("too many clients", "shutting down", "too many clients", "lock timeout"):
        with pytest.raises(Error) as raised:
            KINDS[kind]()
        logging.getLogger("django.request").error("The database failed: %s", "/x", exc_info=raised.value)
    assert len(stream.getvalue().splitlines()) == 3


def test_status_503_without_an_outage_is_written(
    stream: io.StringIO, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All threads that hash passwords may be busy. The database works then."""
    logger = logging.getLogger("django.request")
    logger.error("%s: %s", "Service Unavailable", "/admin/login/", extra={"status_code": 503})
    assert "Service Unavailable: /admin/login/" in stream.getvalue()


def test_application_uses_the_filter() -> None:
    [handler] = [each for each in logging.getLogger().handlers if isinstance(each.formatter, logs.LineFormatter)]
    assert [type(each) for each in handler.filters] == [RepeatedOutages]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no server")
def test_statement_timeout_of_postgresql_is_one_line(stream: io.StringIO) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '50ms'")
        with pytest.raises(OperationalError) as raised, transaction.atomic():
            cursor.execute("SELECT pg_sleep(5), %s", ["hunter2"])
    logging.getLogger("devices").error("It failed", exc_info=raised.value)
    [line] = stream.getvalue().splitlines()
    assert "It failed: QueryCanceled: canceling statement due to statement timeout" in line
    assert "hunter2" not in line


def test_command_without_a_database_writes_one_line(log_format: str) -> None:
    url = {"line": "postgres://registry:hunter2@127.0.0.1:1/registry", "json": "sqlite:////nonexistent/x"}[log_format]
    variables = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "SECRET_KEY": "k" * 40, "DATABASE_URL": url}
    command = [sys.executable, "manage.py", "list_api_keys"]
    environment = {**variables, "LOG_FORMAT": log_format}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert "The command list_api_keys failed: OperationalError: " in line
    assert "hunter2" not in line
    assert line.startswith("{") == (log_format == "json")
