"""The replica of the registry stays correct if the client or the server is killed."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psycopg
import pytest
from django.core.management import CommandError, call_command
from psycopg import sql as pg

from devices.history import replica
from devices.tests.support.factories import device_payload
from devices.tests.support.services.listener import KEY, listening, once
from devices.tests.support.services.server import ROOT

SECONDS = float(os.environ.get("FOLLOW_SECONDS", "8"))  # a longer time has more kills


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    """The URL of a separate database, on the vendor that is tested."""
    url = os.environ.get("TEST_DATABASE_URL")
    if not url:
        yield f"sqlite:///{tmp_path / 'registry.sqlite3'}"
        return
    name = f"follow_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(pg.SQL("CREATE DATABASE {}").format(pg.Identifier(name)))
        yield f"{url.rsplit('/', 1)[0]}/{name}"
        connection.execute(pg.SQL("DROP DATABASE {} WITH (FORCE)").format(pg.Identifier(name)))


class Stage:
    """A server and a client (`follow_changes`). Both can be killed and started again."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment, self.folder = environment, folder
        self.address = f"http://127.0.0.1:{environment['PORT']}"
        self.copy = folder / "copy.jsonl"
        self.key_file = folder / "key"
        self.manage("migrate", "-v0")
        self.key_file.write_text(self.manage("create_api_key", "tests").stdout)
        self.running: dict[str, subprocess.Popen[Any]] = {}

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        run = [sys.executable, "manage.py", *arguments]
        return subprocess.run(run, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=True)

    def start(self, which: str) -> None:
        command = {
            "server": ["-m", "gunicorn", "-c", "gunicorn.conf.py", "--log-level", "critical"],
            "client": ["manage.py", "follow_changes", *self.arguments()],
        }[which]
        quiet = subprocess.DEVNULL
        self.running[which] = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=self.environment,
            start_new_session=True,
            stdout=quiet,
            stderr=quiet,
        )

    def kill(self, which: str) -> None:
        if process := self.running.pop(which, None):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)

    def arguments(self) -> list[str]:
        files = {"--key-file": self.key_file, "--state": self.folder / "state.sqlite3", "--out": self.copy}
        return [self.address, *(str(part) for pair in files.items() for part in pair)]

    def ask(self, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
        """Send a request until it succeeds. A write has the same Idempotency-Key in every attempt."""
        headers = {"x-api-key": self.key_file.read_text().strip(), "content-type": "application/json"}
        headers |= {"idempotency-key": key} if key else {}
        data = None if body is None else json.dumps(body).encode()
        while True:
            try:
                with urlopen(Request(self.address + path, data, headers, method=method), timeout=10) as response:
                    return json.load(response)
            except HTTPError as error:
                failed = error
            except (OSError, HTTPException, ValueError):
                time.sleep(0.05)  # the server was killed before it sent the response
                continue
            with suppress(HTTPException, OSError):
                body_of_error = failed.read()
                assert b"still_running" in body_of_error or b"unavailable" in body_of_error, (method, path)
            time.sleep(0.05)

    def devices(self) -> list[dict[str, Any]]:
        rows, path = [], "/api/devices?size=1000"
        while path:
            page = self.ask("GET", path)
            rows += page["data"]
            path = (page["pagination"]["next"] or "").removeprefix(self.address)
        return rows

    def copied(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.copy.read_text().splitlines()]


@pytest.fixture
def stage(database: str, server_environment: dict[str, str], tmp_path: Path, unused_port: str) -> Iterator[Stage]:
    environment = {**server_environment, "DATABASE_URL": database, "PORT": unused_port, "WEB_CONCURRENCY": "2"}
    stage = Stage(environment, tmp_path)
    try:
        yield stage
    finally:
        for which in list(stage.running):
            stage.kill(which)


def write(stage: Stage, number: int, until: float, done: list[str]) -> None:
    """Register, change, transfer and retire devices. Each write takes effect exactly once, despite the kills."""
    chance = random.Random(number)  # noqa: S311  (test data, not a secret)
    turn = 0
    while time.monotonic() < until:
        turn += 1
        name = 1000 * number + turn
        posted = device_payload(name, device_holder=f"RS {chance.randrange(3)}")
        device = stage.ask("POST", "/api/devices", posted, key=uuid.uuid4().hex)["data"][0]
        path = f"/api/device/{device['id']}"
        kind = chance.randrange(4)
        if kind == 0:
            stage.ask("PATCH", path, {"device_name": f"Renamed {name}"}, key=uuid.uuid4().hex)
        elif kind == 1:
            stage.ask("PATCH", path, {"device_holder": f"RS {chance.randrange(3)}"}, key=uuid.uuid4().hex)
        elif kind == 2:
            stage.ask("DELETE", path, key=uuid.uuid4().hex)
            continue
        done.append(device["device_mac"])


def test_copy_equals_the_registry_after_kills_of_client_and_server(stage: Stage) -> None:
    for which in ("server", "client"):
        stage.start(which)
    stage.ask("GET", "/api/devices")
    until = time.monotonic() + SECONDS
    done: list[str] = []
    writers = [threading.Thread(target=write, args=(stage, number, until, done)) for number in range(1, 4)]
    for writer in writers:
        writer.start()
    chance, killed = random.Random(7), 0  # noqa: S311
    while time.monotonic() < until:
        time.sleep(0.5 + chance.random())
        for which in chance.sample(["server", "client", "both"], 1):
            names = ["server", "client"] if which == "both" else [which]
            for name in names:
                stage.kill(name)
            for name in names:
                stage.start(name)
            killed += len(names)
    for writer in writers:
        writer.join(120)
    assert not any(writer.is_alive() for writer in writers)
    stage.kill("client")
    stage.ask("GET", "/api/devices")  # the server may be starting
    stage.manage("follow_changes", *stage.arguments(), "--once")
    devices = stage.devices()
    assert stage.copied() == devices
    assert sorted(device["device_mac"] for device in devices) == sorted(done)
    assert killed > SECONDS / 3


def test_client_starts_again_if_unseen_changes_were_pruned(stage: Stage) -> None:
    code = (
        "from devices import registry; from devices.history import recording; from devices.access.actor import SYSTEM;"
        "from devices.models import Device;"
        "from datetime import timedelta; then = recording.now_ms() - timedelta(days=2300);"
        "registry.devices.now_ms = recording.now_ms = lambda: then;"
    )
    stage.manage("shell", "-v0", "-c", f"{code} registry.register([{device_payload(1)}, {device_payload(2)}], SYSTEM)")
    stage.start("server")
    stage.ask("GET", "/api/devices")
    stage.manage("follow_changes", *stage.arguments(), "--once")
    assert len(stage.copied()) == 2
    stage.manage("shell", "-v0", "-c", f"{code} registry.retire(Device.objects.filter(device_name='Cuff 1'), SYSTEM)")
    stage.manage("prune", "--changes", "2299")
    result = stage.manage("follow_changes", *stage.arguments(), "--once")
    assert "Starting again" in result.stderr
    assert result.stdout == "The copy has 1 devices.\n"
    assert stage.copied() == stage.devices()


def test_invalid_key_stops_the_client(stage: Stage) -> None:
    stage.start("server")
    stage.ask("GET", "/api/devices")
    stage.key_file.write_text("cxp_nothing")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        stage.manage("follow_changes", *stage.arguments(), "--once")
    assert "returned 401: The API key is missing" in failed.value.stderr
    assert "Traceback" not in failed.value.stderr


# --- The key is sent to no other host


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_key_is_not_sent_to_the_target_of_a_redirect(tmp_path: Path, status: int) -> None:
    with listening() as other, listening(other.url("localhost") + "/stolen", status) as registry:
        with pytest.raises(replica.Stopped, match=r"redirects to localhost\. Redirects are not followed"):
            once(registry.url(), tmp_path)
        assert [key for _path, key in registry.received] == [KEY]
        assert other.received == []


def test_redirect_to_the_same_host_is_not_followed(tmp_path: Path) -> None:
    with listening("/elsewhere") as registry:
        with pytest.raises(replica.Stopped, match="redirects to another path"):
            once(registry.url(), tmp_path)
        assert len(registry.received) == 1


@pytest.mark.parametrize(
    "url",
    ["http://registry.example.org", "http://192.0.2.7:8000", "http://127.0.0.1.example.org"],
)
def test_url_without_encryption_is_rejected_before_a_request(tmp_path: Path, url: str) -> None:
    with pytest.raises(replica.Stopped, match="is not encrypted"):
        once(url, tmp_path)


def test_no_proxy_receives_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as registry, listening() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url())
        monkeypatch.delenv("no_proxy", raising=False)
        assert once(registry.url(), tmp_path) == 0
        assert (len(registry.received), proxy.received) == (1, [])


def test_error_contains_the_host_of_the_redirect_but_not_the_key(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(KEY)
    with listening("https://other.example/?x=1") as registry:
        arguments = [registry.url(), f"--key-file={key_file}", f"--state={tmp_path / 'state.sqlite3'}", "--once"]
        with pytest.raises(CommandError, match=r"redirects to other\.example") as failed:
            call_command("follow_changes", *arguments)
    assert KEY not in str(failed.value)


@pytest.mark.parametrize("key", ["", f"# key of the ward\n{KEY}", f"\ufeff{KEY}", f"{KEY}\n"])
def test_malformed_key_is_neither_sent_nor_printed(tmp_path: Path, key: str) -> None:
    with listening() as registry:
        with pytest.raises(replica.Stopped) as stopped:
            once(registry.url(), tmp_path, key)
        assert registry.received == []
    assert KEY not in str(stopped.value)
