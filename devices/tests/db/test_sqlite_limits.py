"""On SQLite, a statement of a request is aborted after its time limit, and its transaction is rolled back."""

import itertools
import sqlite3
from typing import Any

import pytest
from django.core.exceptions import MiddlewareNotUsed
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cexup import middleware
from devices.history import feed, recording
from devices.models import Device, DeviceCount
from devices.tests.support.client import Api
from devices.tests.support.factories import device_payload, register
from devices.tests.support.services.unavailable import assert_unavailable

pytestmark = pytest.mark.django_db(transaction=True)
on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL has its statement_timeout")

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
LONG = ENDLESS.replace("FROM n)", "FROM n WHERE x < 8000)")  # reads the clock once or twice


@pytest.fixture
def fast_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Advance the clock by ten seconds with each reading."""
    monkeypatch.setattr(middleware, "monotonic", itertools.count(step=10).__next__)


def run(statement: str = ENDLESS) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


@on_sqlite
@pytest.mark.parametrize("query", ["", "?mode=partial"])
def test_endless_write_returns_503_and_releases_the_write_lock(
    api: Api, query: str, fast_clock: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(recording, "record", lambda *_args: run())
        assert_unavailable(api.post(f"/api/devices{query}", device_payload(1)))
    other = sqlite3.connect(connection.settings_dict["NAME"], timeout=0, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("ROLLBACK")
    other.close()
    assert not Device.objects.exists()
    assert api.post("/api/devices", device_payload(1)).status_code == 201


@on_sqlite
def test_endless_read_returns_503(api: Api, fast_clock: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(feed, "read_page", lambda *_args, **_more: run())
        assert_unavailable(api.get("/api/devices/changes"))
    assert api.get("/api/devices/changes").status_code == 200


@on_sqlite
def test_endless_page_of_the_admin_returns_503(
    operator: Client, fast_clock: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.raise_request_exception = False
    monkeypatch.setattr(DeviceCount.objects, "by_holder_and_type", lambda *_args: run())
    response = operator.get("/admin/")
    assert (response.status_code, response["Retry-After"]) == (503, "1")


@on_sqlite
def test_command_has_no_statement_limit(api: Api, fast_clock: None) -> None:
    api.get("/api/devices")
    assert run(ENDLESS.replace("FROM n)", "FROM n WHERE x < 200000)")) == [(200_000,)]


@on_sqlite
def test_each_statement_of_a_request_has_the_full_time(
    api: Api, fast_clock: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "record", lambda *_args: [run(LONG) for _ in range(20)])
    assert api.post("/api/devices", device_payload(1)).status_code == 201


@on_sqlite
def test_typical_list_does_not_read_the_clock_during_a_statement(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    register(*(device_payload(n) for n in range(1_000)))
    api.get("/api/devices")  # records the use of the key
    clock = itertools.count()
    monkeypatch.setattr(middleware, "monotonic", clock.__next__)
    with CaptureQueriesContext(connection) as queries:
        assert api.get("/api/devices").status_code == 200
    assert next(clock) == len(queries)  # each statement reads it once for its deadline


@pytest.mark.parametrize("seconds", [0, 30])
def test_statement_limit_middleware_is_only_used_on_sqlite_with_a_limit(settings: Any, seconds: int) -> None:
    settings.DATABASE_STATEMENT_TIMEOUT = seconds
    if connection.vendor == "sqlite" and seconds:
        middleware.SQLiteStatementLimitMiddleware(lambda _request: HttpResponse())
    else:
        with pytest.raises(MiddlewareNotUsed):
            middleware.SQLiteStatementLimitMiddleware(lambda _request: HttpResponse())
