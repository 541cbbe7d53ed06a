"""Temporary database errors return 503 with Retry-After, in the API and in the admin."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import InternalError, NotSupportedError, OperationalError, ProgrammingError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client

from devices.api import authentication
from devices.crypto import keys
from devices.db.transactions import is_outage
from devices.models import ApiKey, Device
from devices.tests.support.client import Api
from devices.tests.support.factories import device_payload, register
from devices.tests.support.services.unavailable import assert_unavailable

pytestmark = pytest.mark.django_db


@contextmanager
def read_only() -> Iterator[None]:
    """Make the database read-only, like a standby or a read-only file."""
    on, off = {
        "postgresql": ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off"),
        "sqlite": ("PRAGMA query_only = 1", "PRAGMA query_only = 0"),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(on)
        try:
            yield
        finally:
            cursor.execute(off)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/devices", device_payload(1)),
        ("POST", "/api/devices?mode=partial", [device_payload(1), device_payload(2)]),
        ("PATCH", "/api/device/{id}", {"device_name": "Renamed"}),
        ("DELETE", "/api/device/{id}", None),
    ],
)
def test_write_to_a_read_only_database_returns_503(method: str, path: str, body: Any, api: Api) -> None:
    [device] = register(device_payload(9))
    api.get("/api/devices")  # the use of the key is recorded
    with read_only():
        assert_unavailable(api(method, path.format(id=device.pk), body))


@pytest.mark.django_db(transaction=True)
def test_reads_work_with_a_read_only_database(api: Api, client: Client) -> None:
    [device] = register(device_payload(1))
    api.get("/api/devices/changes")  # the key of the feed is created
    authentication._paused_until = 0.0
    ApiKey.objects.update(last_used_at=None)
    with read_only():
        for path in ("/api/devices", f"/api/device/{device.pk}", "/api/devices?search=cuff"):
            assert api.get(path).status_code == 200
        assert client.get("/readyz").status_code == client.get("/healthz").status_code == 200


def caused(error: Exception, sqlstate: str) -> Exception:
    error.__cause__ = psycopg.errors.lookup(sqlstate)()
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OperationalError("database or disk is full"), True),
        (caused(OperationalError(), "57P01"), True),  # terminated by an administrator
        (caused(OperationalError(), "57014"), True),  # exceeded statement_timeout
        (caused(OperationalError(), "55P03"), True),  # exceeded lock_timeout
        (caused(OperationalError(), "53100"), True),  # the disk is full
        (caused(InternalError(), "25006"), True),  # read-only
        (caused(InternalError(), "25P03"), True),  # idle in a transaction
        (caused(NotSupportedError(), "0A000"), True),  # "cached plan must not change result type"
        (caused(ProgrammingError(), "26000"), True),  # a prepared statement that no longer exists
        (caused(InternalError(), "XX001"), False),  # the data is corrupted
        (caused(ProgrammingError(), "42703"), False),  # no such column
        (ProgrammingError("the connection is closed"), False),
        (RuntimeError("read-only"), False),
        (None, False),
    ],
)
def test_temporary_database_errors_are_outages_and_others_are_not(error: Exception | None, expected: bool) -> None:
    assert is_outage(error) is expected


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any) -> None:
        raise OperationalError("connection to 10.0.0.1 refused")

    monkeypatch.setattr(BaseDatabaseWrapper, "cursor", fail)


@pytest.mark.usefixtures("no_database")
def test_api_returns_503_without_a_database() -> None:
    for path in ("/api/devices", "/api/device/1", "/api/devices/changes?wait=1"):
        response = Api(keys.generate()).get(path)
        assert_unavailable(response)
        assert b"10.0.0.1" not in response.content
    assert Api("mistyped").get("/api/devices").status_code == 401  # no query is needed


def test_the_message_is_in_the_clients_language(no_database: None) -> None:
    for language, words in (("en", "Temporarily unavailable."), ("id", "Layanan tidak tersedia")):
        assert (
            Api(keys.generate())
            .get("/api/devices", **{"accept-language": language})
            .json()["message"]
            .startswith(words)
        )


def test_admin_shows_a_page_without_queries_during_an_outage(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any) -> None:
        raise OperationalError("connection to 10.0.0.1 refused")

    operator.raise_request_exception = False
    monkeypatch.setattr(BaseDatabaseWrapper, "cursor", fail)
    for path in ("/admin/", "/admin/devices/device/", "/admin/login/?next=/admin/"):
        response = operator.get(path)
        if path.startswith("/admin/login"):
            assert response.status_code in (200, 503)
            continue
        assert (response.status_code, response["Retry-After"]) == (503, "1")
        assert b"Try again in a moment" in response.content
        assert b"Coba beberapa saat lagi" in response.content
        assert b"10.0.0.1" not in response.content


def test_other_database_errors_return_500(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any) -> None:
        raise ProgrammingError("no such column")

    operator.raise_request_exception = False
    monkeypatch.setattr(Device.objects.__class__, "get_queryset", fail)
    assert operator.get("/admin/devices/device/").status_code == 500
