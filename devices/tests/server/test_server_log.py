"""The log of the server in both formats: each line is a record, and none has a secret."""

import json
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cexup import __version__
from devices.tests.support.logs import FORMATTERS
from devices.tests.support.services.server import ROOT, served_from, serving

LEGACY = "MTYzNTEzMDIzNDY0MA==16351302346401637558061370"
TOKEN, EMAIL = "dj7x2k-0123456789abcdef", "ratna@rs.example"
HOSTILE = [  # lines of requests as no library sends them; the server adds Host
    b"GET /api/device/\x00\x1b[2K\xff\xfe HTTP/1.1",
    b"GET /api/devices?search=%00%ed%a0%80%e2%80%a8%0a2026-01-01T00:00:00.000+00:00 HTTP/1.1",
    b"GET /%0A%7B%22time%22:%22x%22%7D HTTP/1.1",
    b"GET /" + b"x" * 100_000 + b" HTTP/1.1",
    b'GET / HTTP/1.1\r\nReferer: \xff\x85\xe2\x80\xa8"}\r\nUser-Agent: {"a":\\',
    b'GET /api/devices HTTP/1.1\r\ntraceparent: 00-hunter2\r\nX-Request-ID: "}{',
    b'G"T / HTTP/1.1',
    b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
]


class Log(NamedTuple):
    format: str
    lines: list[str]
    secrets: list[str]
    spans: bytes  # that the workers sent to the collector


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """The URL of an OpenTelemetry collector, and the paths and bodies of the requests that it has received."""
    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.path.encode() + self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()
            thread.join(60)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A database, and an API key."""
    database = tmp_path_factory.mktemp("logs") / "registry.sqlite3"
    quiet: dict[str, Any] = {"cwd": ROOT, "check": True, "capture_output": True, "text": True}
    quiet["env"] = served_from(f"sqlite:///{database}")
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], **quiet)
    create = [sys.executable, "manage.py", "create_api_key", "tests"]
    return database, subprocess.run(create, **quiet).stdout.strip()


@pytest.fixture(scope="module", params=FORMATTERS)
def log(
    request: pytest.FixtureRequest,
    migrated: tuple[Path, str],
    collector: tuple[str, list[bytes]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Log:
    """The log of a server with LOG_LEVEL=DEBUG, both access logs and traces, for failing requests."""
    folder = tmp_path_factory.mktemp("log")
    database, key = migrated[0], migrated[1]
    copy = folder / "registry.sqlite3"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    environment = served_from(f"sqlite:///{copy}") | {"LOG_LEVEL": "DEBUG", "DEBUG": "0"}
    environment |= {"LOG_FORMAT": request.param, "ACCESS_LOG": "1"}
    environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector[0], "OTEL_BSP_SCHEDULE_DELAY": "600000"}
    options = ("--log-level", "info", "--access-logfile", "/dev/stderr")
    with (folder / "log").open("a") as stream, serving(environment, "127.0.0.1", stream, *options) as port:
        statuses = send(f"http://127.0.0.1:{port}", key)
        for request_ in HOSTILE:
            send_raw(port, request_)
        change(copy, "PRAGMA ignore_check_constraints = ON", "UPDATE devices_apikey SET rate = 'x'")
        assert ask(f"http://127.0.0.1:{port}/api/devices", {"x-api-key": key}) == 500
        change(copy, "DROP TABLE devices_apikey_hospitals", "DROP TABLE devices_apikey")
        assert ask(f"http://127.0.0.1:{port}/api/devices", {"x-api-key": key}) == 503
    assert statuses[3:5] in ([200, 404], [500, 500])  # pages, or errors if the static files are not collected
    assert statuses[:3] == [400, 401, 400]
    secrets = [key, LEGACY, TOKEN, EMAIL, "hunter2"]
    return Log(request.param, (folder / "log").read_text().splitlines(), secrets, b"".join(collector[1]))


def send(address: str, key: str) -> list[int]:
    requests = [
        (f"/api/devices?key={key}", {"x-api-key": key}),
        ("/api/devices", {"x-api-key": LEGACY}),
        ("/api/devices", {"x-api-key": key, "host": "evil.example"}),
        (f"/admin/set-password/MQ/{TOKEN}/", {}),
        (f"/{key}/{EMAIL}", {"referer": f"http://x/?password={LEGACY}"}),
    ]
    return [ask(address + path, headers) for path, headers in requests]


def ask(url: str, headers: dict[str, str]) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def send_raw(port: int, request: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request + b"\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 ")


def change(database: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_server_log_has_no_secrets(log: Log) -> None:
    text = "\n".join(line.encode().decode("unicode_escape") if log.format == "json" else line for line in log.lines)
    assert "A request ended." in text
    assert "OperationalError: no such table" in text
    assert f"The version of the registry is {__version__}." in text
    assert "Worker exiting" in text
    for secret in log.secrets:
        assert secret not in text, secret
        assert secret not in "\n".join(log.lines), secret


def test_worker_sends_its_last_spans_when_it_ends(log: Log) -> None:
    """Each worker has an exporter, which starts after the fork. It would wait for 10 minutes until it sends spans."""
    assert log.spans.startswith(b"/v1/traces")
    assert b"GET api/devices" in log.spans
    for secret in log.secrets:
        assert secret.encode() not in log.spans


def test_server_log_lines_are_records_in_utc_or_tracebacks(log: Log) -> None:
    if log.format == "json":
        records = [json.loads(line) for line in log.lines]
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", each["time"]) for each in records)
        assert all(line.isascii() for line in log.lines)
        loggers = {each["logger"] for each in records}
        assert any("Traceback" in each.get("traceback", "") for each in records)
        rejected = [each["message"] for each in records if each["logger"].endswith("DisallowedHost")]
    else:
        lines = [line for line in log.lines if not line.startswith("    ")]
        for line in lines:
            assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 [A-Z]+ [\w.]+ \[[\w.-]+\] ", line), line
        loggers = {line.split()[2] for line in lines}
        assert any("Traceback" in line for line in log.lines)
        rejected = [line for line in lines if "DisallowedHost" in line]
    assert {"gunicorn.error", "gunicorn.access", "django.request", "cexup.access_log"} <= loggers
    assert len(rejected) == 1
    assert "evil.example" in rejected[0]
    assert not any(line.startswith("2026-01-01T") for line in log.lines)
