"""Length, number and duration of everything in a request are limited: each limit, and the response above it."""

import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from devices.api.filters import DeviceFilter
from devices.db import bulk
from devices.tests.conftest import workers
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.concurrency import open_transaction
from devices.tests.support.factories import device_payload, register
from devices.tests.support.services.faults import eventually
from devices.tests.support.services.redis import free_port, send_many
from devices.tests.support.services.server import ROOT, serving

on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has a busy timeout instead")


@pytest.mark.django_db
@pytest.mark.parametrize("name", DeviceFilter.base_filters)
@pytest.mark.parametrize("value", ["x" * 256, "9" * 256, "%C3%A9" * 256])
def test_values_of_filters_are_bounded(api: Api, name: str, value: str) -> None:
    response = api.get(f"/api/devices?{name}={value}")
    assert response.status_code == 400
    assert [field for field, _code in errors(response)] == [name]
    assert len(response.content) < 1000


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["page", "size", "after", "before"])
def test_numbers_of_pages_are_bounded(api: Api, name: str) -> None:
    assert errors(api.get(f"/api/devices?{name}={'9' * 300}")) == [(name, "out_of_range")]


@pytest.mark.django_db
def test_cursor_and_wait_are_bounded(api: Api) -> None:
    assert errors(api.get(f"/api/devices/changes?since={'A' * 3000}")) == [("since", "cursor")]
    assert errors(api.get("/api/devices/changes?wait=31")) == [("wait", "out_of_range")]


@pytest.mark.django_db
def test_too_many_parameters_are_rejected_in_the_envelope(api: Api) -> None:
    response = api.get("/api/devices?" + "&".join(f"p{n}=1" for n in range(1001)))
    assert (response.status_code, response.json()["status"]) == (400, "BAD_REQUEST")


def server_settings(**variables: str) -> Any:
    """Return gunicorn.conf.py as gunicorn reads it with these variables."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return runpy.run_path(str(ROOT / "gunicorn.conf.py"))


@pytest.fixture
def limited(transactional_db: None, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Connect as a worker process of gunicorn does, with limits of three seconds."""
    limits = getattr(request, "param", ("DATABASE_STATEMENT_TIMEOUT", "DATABASE_LOCK_TIMEOUT"))
    variables = {"DATABASE_STATEMENT_TIMEOUT": "0", "DATABASE_LOCK_TIMEOUT": "0"} | dict.fromkeys(limits, "3")
    [options] = server_settings(**variables)["raw_env"]
    monkeypatch.setenv(*options.split("=", 1))
    connection.close()
    yield
    connection.close()


def locked_by_another(statement: str) -> AbstractContextManager[None]:
    """Execute the statement in an open transaction of another connection."""
    return open_transaction("SET LOCAL idle_in_transaction_session_timeout = 0", statement)


@on_postgresql
@pytest.mark.parametrize(
    "limited", [["DATABASE_STATEMENT_TIMEOUT"], ["DATABASE_LOCK_TIMEOUT"]], indirect=True, ids=["statement", "lock"]
)
def test_lock_wait_of_a_request_ends_with_503(limited: None) -> None:
    api = Api(issue("app").text)
    [device] = register(device_payload(1))
    path = f"/api/device/{device.pk}"
    connection.close()
    with locked_by_another("LOCK TABLE devices_device IN ACCESS EXCLUSIVE MODE"):
        for method, body in (("GET", None), ("PUT", device_payload(2))):
            begun = time.monotonic()
            response = api(method, path, body)
            assert 2.5 < time.monotonic() - begun < 60
            assert (response.status_code, response["Retry-After"]) == (503, "1")
            assert errors(response) == [(None, "unavailable")]
    assert api.put(path, device_payload(2)).status_code == 200


@on_postgresql
def test_idle_transaction_of_a_request_ends_with_503(limited: None, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(issue("app").text)
    connection.close()
    insert = bulk.insert

    def insert_slowly(*args: Any, **kwargs: Any) -> list[int]:
        time.sleep(8)
        return insert(*args, **kwargs)

    monkeypatch.setattr(bulk, "insert", insert_slowly)
    with_hospital = device_payload(1, device_holder="RS 1")  # its query begins the transaction before the insert
    response = api.post("/api/devices", with_hospital)
    assert (response.status_code, response["Retry-After"]) == (503, "1")
    monkeypatch.undo()
    connection.close()  # as when a request ends
    assert api.post("/api/devices", device_payload(1)).status_code == 201


@on_postgresql
def test_requests_have_database_timeouts_and_commands_have_none() -> None:
    show = "from django.db import connection; cursor = connection.cursor()\n" + "\n".join(
        f"cursor.execute('SHOW {name}'); print(*cursor.fetchone())" for name in ("statement_timeout", "lock_timeout")
    )

    def shown(**environment: str) -> list[str]:
        run = [sys.executable, "manage.py", "shell", "-v0", "-c", show]
        result = subprocess.run(
            run, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=True
        )
        return result.stdout.split()

    [variable] = server_settings()["raw_env"]
    name, options = variable.split("=", 1)
    assert shown(**{name: options}) == ["30s", "5s"]
    assert shown() == ["0", "0"]


def test_workers_are_replaced_without_dropped_requests(server_environment: dict[str, str], server_key: str) -> None:
    environment = {**server_environment, "PORT": str(free_port()), "WEB_CONCURRENCY": "2", "WEB_MAX_REQUESTS": "100"}
    with serving(environment) as port:
        first = eventually(lambda: len(found := set(workers(port))) == 2 and found)
        assert send_many(port, server_key, 640, connection="close") == {200: 640}
        eventually(lambda: not first & set(workers(port)))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for unit in (ROOT / "deploy").glob("registry*.*"):
        if unit.suffix in {".service", ".socket", ".timer"}:
            text = re.sub(r"/srv/registry/\.venv/bin/\w+", shutil.which("true") or "", unit.read_text())
            (tmp_path / unit.name).write_text(text)
    units = sorted(tmp_path.iterdir())
    assert len(units) == 4
    result = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    reported = [line for line in result.stderr.splitlines() if "registry" in line and "man" not in line]
    assert (result.returncode, reported) == (0, [])
