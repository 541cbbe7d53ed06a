"""The metrics: what a request counts, how many series there are, and what a scrape reads from the database."""

import errno
import itertools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from prometheus_client import values
from psycopg import errors as psycopg_errors

from cexup import worker
from cexup.metrics import database, files
from cexup.metrics.database import DatabaseValues
from cexup.metrics.recorder import METHODS, OTHER, Recorder, recorder
from devices.accounts.password_hashing import HashingBusy
from devices.accounts.sign_in_limits import SignInLimitMiddleware
from devices.api import long_polling
from devices.audit import retention
from devices.db.transactions import outage_cause
from devices.db.triggers.feed import LAST_CHANGE
from devices.history import feed
from devices.models import AuditRetention, Device, Hospital
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register
from devices.tests.support.metrics import READ, collected, parse, total
from devices.tests.support.services.server import ROOT
from devices.values.outages import OutageCause

MAX_SERIES = 500


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Path]:
    """Count the requests of the test in this folder."""
    folder = tmp_path / "metrics"
    monkeypatch.setattr(files, "folder", lambda port: folder)
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setattr(worker, "report_rejected", worker.report_rejected)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
    settings.METRICS_PORT = 9108
    settings.MIDDLEWARE = ["cexup.metrics.middleware.MetricsMiddleware", *settings.MIDDLEWARE]
    recorder.cache_clear()
    yield folder
    recorder.cache_clear()


def patterns(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    """Yield the route of each URL, as `resolver_match.route` has it."""
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from patterns(pattern, prefix + str(pattern.pattern))
        elif isinstance(pattern, URLPattern):
            yield prefix + str(pattern.pattern)


def counted(place: Path, **labels: str) -> float:
    return total(collected(place), "registry_requests_total", **labels)


@pytest.mark.django_db
def test_requests_are_counted_by_route_method_and_status(place: Path, api: Api, devices: dict[str, Device]) -> None:
    number = devices["a"].pk
    for path in ("/api/devices", "/api/devices/?size=1", f"/api/device/{number}", "/api/device/999999"):
        api.get(path)
    api.post("/api/devices", [device_payload(9)])
    api.patch(f"/api/device/{number}", {"device_name": "Renamed"})
    api("HEAD", f"/api/device/{number}")
    assert counted(place, route="api/devices", method="GET", status="2xx") == 2
    assert counted(place, route="api/devices", method="POST", status="2xx") == 1
    assert counted(place, route="api/device/<int:id_device>", method="GET", status="2xx") == 2  # one is a HEAD
    assert counted(place, route="api/device/<int:id_device>", method="GET", status="4xx") == 1
    assert counted(place, route="api/device/<int:id_device>", method="PATCH", status="2xx") == 1
    assert counted(place) == 7
    text = collected(place)
    assert total(text, "registry_request_duration_seconds_count", route="api/devices") == 3
    assert total(text, "registry_request_duration_seconds_sum", route="api/devices") > 0
    assert total(text, "registry_database_statement_seconds_total", route="api/devices") > 0
    assert total(text, "registry_requests_in_flight") == 0


@pytest.mark.django_db
def test_pages_and_unknown_paths_are_counted_together(place: Path, operator: Client, api: Api) -> None:
    for path in ("/admin/", "/admin/devices/device/", "/admin/help/"):
        assert operator.get(path).status_code == 200
    operator.get("/static/none.css")
    for path in ("/none-such", "/api/none-such", "/API/devices", "/api/"):
        api.get(path)
    api("BREW", "/api/devices")
    api("PUT", "/api/devices", {})
    api.get("/api/schema.json")
    api.get("/api/guide")
    api.get("/healthz")
    api.get("/readyz/")
    assert counted(place, route="admin", method="GET", status="2xx") == 3
    assert counted(place, route="static", method="GET", status="4xx") == 1
    assert counted(place, route=OTHER, method=OTHER) == 4
    assert counted(place, route="api/devices", method=OTHER, status="4xx") == 2
    assert counted(place, route="documents") == 2
    assert counted(place, route="health") == 2


@pytest.mark.django_db
def test_no_path_name_or_key_is_in_a_label(place: Path, rs_a: Hospital) -> None:
    key = issue("ward app", hospitals=[rs_a])
    client = Api(key.text)
    client.post("/api/devices", [device_payload(1, device_holder=rs_a.name)])
    client.get("/api/devices?search=Harapan")
    client.get(f"/api/{key.text}")
    client("GET", "/api/devices", **{"X-Request-ID": "sent-by-client"})
    text = collected(place)
    found = {value for _, labels in parse(text) for _, value in labels}
    for private in (key.text, key.key.prefix, "ward app", "Harapan", "sent-by-client", "search", "Cuff", "127.0.0.1"):
        assert private.lower() not in text.lower()
    routes = set(Recorder.__init__.__globals__["methods_by_route"]())
    assert {value for _, labels in parse(text) for name, value in labels if name == "route"} <= routes
    assert len(found) < 100


def test_series_are_limited_for_all_routes_methods_and_statuses(place: Path) -> None:
    """Each pattern of a URL with each method and each class of status, and what a middleware responds to."""
    own = recorder()
    assert own
    routes = [SimpleNamespace(route=pattern) for pattern in set(patterns(get_resolver()))]
    assert len(routes) > 100
    for match, method, status in itertools.product(
        [*routes, None], [*METHODS, "OPTIONS", "TRACE", "BREW"], [*HTTPStatus]
    ):
        for path in ("/static/x", "/x") if match is None else ("/x",):
            request = RequestFactory().generic(method, path)
            request.resolver_match = match  # type: ignore[assignment]
            own.record(request, SimpleNamespace(status_code=status.value), 0.1, 0.01)  # type: ignore[arg-type]
    for status in HTTPStatus:
        own.record_rejected(status)
    series = parse(collected(place))
    assert len(series) <= MAX_SERIES
    assert os.path.getsize(place / "counter_0.db") == files.FILE_SIZE  # noqa: PTH202  (not extended)
    print(f"{len(series)} series")  # noqa: T201


@pytest.mark.django_db
def test_request_that_is_rejected_before_django_is_counted(place: Path) -> None:
    assert recorder()
    worker.report_rejected(HTTPStatus.REQUEST_URI_TOO_LONG)
    assert counted(place, route=OTHER, method=OTHER, status="4xx") == 1


def psycopg_error(kind: type[Exception] | None) -> OperationalError:
    error = OperationalError("the database failed")
    error.__cause__ = kind("") if kind else None
    return error


def sqlite_error(code: int) -> OperationalError:
    error = OperationalError("the database failed")
    error.__cause__ = Exception()
    error.__cause__.sqlite_errorcode = code  # type: ignore[attr-defined]
    return error


CAUSES = [
    (psycopg_error(None), OutageCause.CONNECTION),
    (psycopg_error(psycopg_errors.AdminShutdown), OutageCause.CONNECTION),
    (psycopg_error(psycopg_errors.TooManyConnections), OutageCause.CONNECTION),
    (psycopg_error(psycopg_errors.QueryCanceled), OutageCause.STATEMENT_TIMEOUT),
    (psycopg_error(psycopg_errors.LockNotAvailable), OutageCause.LOCK),
    (psycopg_error(psycopg_errors.DeadlockDetected), OutageCause.LOCK),
    (psycopg_error(psycopg_errors.ReadOnlySqlTransaction), OutageCause.READ_ONLY),
    (psycopg_error(psycopg_errors.DiskFull), OutageCause.FULL),
    (psycopg_error(psycopg_errors.InFailedSqlTransaction), OutageCause.OTHER),
    (sqlite_error(5), OutageCause.LOCK),
    (sqlite_error(517), OutageCause.LOCK),  # SQLITE_BUSY_SNAPSHOT
    (sqlite_error(9), OutageCause.STATEMENT_TIMEOUT),
    (sqlite_error(13), OutageCause.FULL),
    (sqlite_error(8), OutageCause.READ_ONLY),
    (sqlite_error(14), OutageCause.CONNECTION),
    (sqlite_error(11), OutageCause.OTHER),
]


@pytest.mark.parametrize(("error", "cause"), CAUSES)
def test_outages_have_a_cause(error: OperationalError, cause: OutageCause) -> None:
    assert outage_cause(error) == cause


@pytest.mark.django_db
def test_503_is_counted_by_cause(place: Path, api: Api, operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any) -> None:
        raise psycopg_error(psycopg_errors.LockNotAvailable)

    operator.raise_request_exception = False
    with monkeypatch.context() as patch:
        patch.setattr(BaseDatabaseWrapper, "cursor", fail)
        for client, path in ((api, "/api/devices"), (operator, "/admin/"), (operator, "/readyz")):
            assert client.get(path).status_code == 503
    busy = SignInLimitMiddleware(lambda request: None).process_exception(None, HashingBusy())  # type: ignore[arg-type, return-value]
    own = recorder()
    assert own
    assert busy
    own.record(RequestFactory().post("/admin/login/"), busy, 0.1, 0)
    text = collected(place)
    found = {cause: total(text, "registry_unavailable_total", cause=cause) for cause in OutageCause}
    assert found == dict.fromkeys(OutageCause, 0) | {OutageCause.LOCK: 3, OutageCause.PASSWORDS: 1}
    assert counted(place, status="503") == 4
    assert counted(place, status="5xx") == 0


@pytest.mark.django_db
def test_429_is_counted_by_limit(place: Path, settings: Any) -> None:
    client = Api(issue("slow", rate="1/h").text)
    assert [client.get("/api/devices").status_code for _ in range(3)] == [200, 429, 429]
    settings.API_FAILED_RATE = "1/h"
    assert [Api("guessed").get("/api/devices").status_code for _ in range(2)] == [401, 429]
    text = collected(place)
    assert total(text, "registry_rate_limited_total", limit="too_many_requests") == 2
    assert total(text, "registry_rate_limited_total", limit="too_many_failed_keys") == 1
    assert total(text, "registry_rate_limited_total") == 3


def test_waiting_clients_are_counted(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recorder()
    slots = long_polling.Slots(2, 2)
    monkeypatch.setattr(long_polling, "_slots", slots)
    with slots.take(1), slots.take(2), slots.take(3) as is_free:
        assert not is_free
        assert total(collected(place), "registry_feed_waiting") == 2
    assert total(collected(place), "registry_feed_waiting") == 0
    assert total(collected(place), "registry_feed_waiting_limit") == 2


@pytest.mark.django_db
def test_values_of_the_database_are_read_from_counters(rs_a: Hospital) -> None:
    register(*[device_payload(n, device_type=kind) for n, kind in enumerate(["CONSUMER", "CONSUMER", "CORPORATE"])])
    for days in (1, 29, 31):
        issue(f"expires in {days} days", expires_at=timezone.now() + timedelta(days=days))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        found = database.read()
    assert found == database.Values({"CONSUMER": 2, "CORPORATE": 1}, 2, 0, 0)
    statements = [query["sql"] for query in queries if "SELECT" in query["sql"]]
    assert len(statements) == 4
    for statement in statements:
        assert not re.search(r'COUNT\(.*FROM "devices_(device|historicaldevice)"', statement, re.IGNORECASE)
        assert "hospital" not in statement.lower() or "apikey" in statement


@pytest.mark.django_db
def test_lag_is_the_age_of_the_oldest_change_behind_an_open_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    register(device_payload(1))
    first = feed.stable_watermark()
    register(device_payload(2))
    register(device_payload(3))
    assert feed.lag(timezone.now()) == 0
    open_since = f"{LAST_CHANGE['sqlite'].removesuffix('(NULL)')}{first}"
    monkeypatch.setitem(LAST_CHANGE, connection.vendor, open_since)
    second = feed.Change.objects.filter(history_id__gt=first).earliest("history_id").history_date
    assert feed.lag(second + timedelta(seconds=90)) == 90


@pytest.mark.django_db
def test_successful_prune_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    call_command("prune", dry_run=True)
    assert AuditRetention.objects.get().last_prune_at is None

    def fail(**_options: Any) -> int:
        raise OperationalError("no connection")

    with monkeypatch.context() as patch:
        patch.setattr(retention, "prune_events", fail)
        with pytest.raises(OperationalError):
            call_command("prune")
    assert AuditRetention.objects.get().last_prune_at is None
    begun = timezone.now()
    call_command("prune")
    assert begun.timestamp() <= database.read().last_prune <= timezone.now().timestamp()
    with pytest.raises(Exception, match="cannot be"):  # the migration has kept the trigger
        AuditRetention.objects.update(years=1)


def test_outage_of_the_database_leaves_the_other_metrics(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder()

    def fail() -> database.Values:
        raise OperationalError("password=hunter2")

    text = collected(place, DatabaseValues(fail))
    assert total(text, "registry_database_up") == 0
    assert total(text, "registry_workers") == 1
    assert "registry_worker_starts_total 1.0" in text
    assert "registry_devices" not in text
    assert [record.getMessage() for record in caplog.records] == ["The metrics of the database cannot be read."]


def test_frozen_database_blocks_one_thread_and_no_scrape(place: Path) -> None:
    release, calls = threading.Event(), []

    def freeze() -> database.Values:
        calls.append(threading.current_thread())
        assert release.wait(30)
        return READ

    frozen = DatabaseValues(freeze, wait=0.01)
    assert [total(collected(place, frozen), "registry_database_up") for _ in range(3)] == [0, 0, 0]
    assert len(calls) == 1
    release.set()
    calls[0].join(30)
    text = collected(place, frozen)
    assert total(text, "registry_devices", type="CORPORATE") == 4
    assert total(text, "registry_api_keys_expiring") == 2
    assert total(text, "registry_last_prune_timestamp_seconds") == 1000
    assert total(text, "registry_feed_lag_seconds") == 1.5
    assert total(text, "registry_database_up") == 1
    assert len(calls) == 1, "the values were not kept"


def test_registry_without_metrics_and_traces_needs_neither_library() -> None:
    code = "import sys; sys.modules['opentelemetry'] = None; import cexup.wsgi"
    code += "; assert not {'prometheus_client', 'cexup.metrics', 'cexup.tracing'} & sys.modules.keys()"
    run = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(run, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.django_db
@pytest.mark.parametrize("fault", ["not private", "disk full"])
def test_worker_serves_without_metrics_if_their_folder_cannot_be_used(
    place: Path, api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    if fault == "not private":
        place.mkdir(mode=0o755)

    def fail(*_args: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", fail)
    assert recorder() is None
    assert api.get("/api/devices").status_code == 200
    assert "There are no metrics of this worker." in caplog.text
    assert list(place.glob("*.db")) == []
