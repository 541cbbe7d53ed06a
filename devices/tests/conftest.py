"""The cast: two hospitals with a key each, an unbound key, a read-only one, an outsider without any."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.db import connection
from django.test import Client, TransactionTestCase
from django.utils import timezone

from devices import registry
from devices.access.actor import SYSTEM
from devices.accounts import api_keys, users
from devices.api import authentication
from devices.audit import denials
from devices.db.triggers import append_only
from devices.history import recording
from devices.models import ApiKey, Device, Hospital
from devices.ratelimit import stores
from devices.registry import hospitals

if TYPE_CHECKING:
    from devices.tests.faults import Registry

MAC = "D0:61:AE:D4:58:94"
PASSWORD = "pagi-cerah-7"  # of the users who are signed in


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    tmp_path_factory: pytest.TempPathFactory, django_db_modify_db_settings_parallel_suffix: None
) -> None:
    """Keep SQLite's test database in a file, as in production: in memory, locks work in another way."""
    database = django_settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        database["TEST"]["NAME"] = str(tmp_path_factory.mktemp("database") / "registry.sqlite3")


@pytest.fixture(scope="session")
def static_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("static")


@pytest.fixture(autouse=True)
def _plain_static_files(settings: Any, static_root: Path) -> None:
    """Ask for no collected static files: a fresh clone that is only tested has none."""
    settings.STATIC_ROOT = static_root
    backend = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": backend}


@pytest.fixture(scope="session", autouse=True)
def records_give_way_to_a_flush() -> Iterator[None]:
    """Take the triggers away before the database is emptied after a test: they would refuse it, as they should.

    `flush` sends post_migrate, which puts them back in place, as in production. Django has no public hook before the
    flush: where a version has no `_fixture_teardown`, this fails.
    """
    flush = TransactionTestCase._fixture_teardown

    def remove_and_flush(case: TransactionTestCase) -> None:
        append_only.remove(connection)
        flush(case)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", remove_and_flush)
        yield


@pytest.fixture(autouse=True)
def _nothing_noted_yet() -> Iterator[None]:
    yield
    authentication._paused_until = 0.0
    stores.limiter.cache_clear()
    denials.deduplicator = denials.EventDeduplicator()


def set_clock(patch: pytest.MonkeyPatch, now: Callable[[], datetime]) -> None:
    """Give the verbs, and the history that they write, another present."""
    for module in (registry.devices, recording, hospitals):
        patch.setattr(module, "now_ms", now)


@contextmanager
def days_ago(days: float) -> Iterator[None]:
    """Write history as of that time: the database lets nobody give it another date afterwards."""
    then = timezone.now() - timedelta(days=days)
    with pytest.MonkeyPatch.context() as patch:
        set_clock(patch, lambda: then)
        yield


class Api:
    """A client application: it sends its key and JSON, and gets the envelope back."""

    def __init__(self, key: str | None, **headers: str) -> None:
        self.headers = headers if key is None else {"x-api-key": key, **headers}
        self.client = Client(raise_request_exception=False)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.client.generic(method, path, data, "application/json", headers={**self.headers, **headers})

    def get(self, path: str, **headers: str) -> Any:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self("POST", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> Any:
        return self("PUT", path, body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> Any:
        return self("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self("DELETE", path, **headers)


@pytest.fixture
def rs_a(db: None) -> Hospital:
    return hospitals.get_or_create(["RS Harapan"], SYSTEM)["rs harapan"]


@pytest.fixture
def rs_b(db: None) -> Hospital:
    return hospitals.get_or_create(["RS Sehat"], SYSTEM)["rs sehat"]


def issue(name: str, **settings: Any) -> api_keys.IssuedKey:
    return api_keys.issue(name, SYSTEM, **settings)


@pytest.fixture
def api(db: None) -> Api:
    """Unbound, read-write."""
    return Api(issue("unbound").text)


@pytest.fixture
def reader(db: None) -> Api:
    return Api(issue("reader", read_only=True).text)


@pytest.fixture
def api_a(rs_a: Hospital) -> Api:
    return Api(issue("ward app of RS Harapan", hospital=rs_a).text)


@pytest.fixture
def api_b(rs_b: Hospital) -> Api:
    return Api(issue("ward app of RS Sehat", hospital=rs_b).text)


@pytest.fixture
def camel(db: None) -> Api:
    return Api(issue("web", naming=ApiKey.Naming.CAMEL_CASE).text)


@pytest.fixture
def outsider(db: None) -> Api:
    return Api(None)


@pytest.fixture
def operator(db: None) -> Client:
    """Signed in to the admin, for the vendor."""
    return _signed_in(get_user_model().objects.create_superuser("operator"))


@pytest.fixture
def ratna(rs_a: Hospital) -> Client:
    """Signed in to the admin, for RS Harapan."""
    return _signed_in(users.invite("Ibu Ratna", "ratna@rs.example", [rs_a]))


@cache
def password_hash() -> str:
    """Hash the password once for all tests: it takes long on purpose."""
    return make_password(PASSWORD)


def _signed_in(user: Any) -> Client:
    user.password = password_hash()
    user.save(update_fields=["password"])
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def devices(rs_a: Hospital, rs_b: Hospital) -> dict[str, Device]:
    """One device of each hospital, and one that no hospital holds."""
    a, b, free = register(
        device_payload(1, device_holder=rs_a.name), device_payload(2, device_holder=rs_b.name), device_payload(3)
    )
    return {"a": a, "b": b, "free": free}


def device_payload(number: int, **fields: Any) -> dict[str, Any]:
    """A device that can be posted; its name and its MAC follow from the number."""
    mac = ":".join(f"{number:012X}"[i : i + 2] for i in range(0, 12, 2))
    return {"device_name": f"Cuff {number}", "device_mac": mac, "device_type": "CONSUMER", **fields}


def register(*items: dict[str, Any]) -> list[Device]:
    return registry.register(items, SYSTEM).devices()  # type: ignore[arg-type]


def errors(response: Any) -> list[tuple[str | None, str]]:
    """What an error answer finds wrong: field and code."""
    return [(error["field"], error["code"]) for error in response.json()["errors"]]


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def unused_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="session")
def server_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a server of its own, on an SQLite of its own, and of the commands that go with it."""
    return served_from(f"sqlite:///{tmp_path_factory.mktemp('server') / 'registry.sqlite3'}")


@pytest.fixture(scope="session")
def server(server_environment: dict[str, str]) -> Iterator[int]:
    """The port of a gunicorn that serves as `make run` does."""
    run = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(run, cwd=ROOT, env=server_environment, check=True)
    with serving(server_environment) as port:
        yield port


def served_from(database_url: str) -> dict[str, str]:
    """Return the environment of a server of its own, on a free port, that serves from this database."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    return {**os.environ, "PORT": port, "WEB_CONCURRENCY": "1", "DATABASE_URL": database_url}


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[int]:
    """Run gunicorn, and give its port once it answers."""
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "--log-level", "critical"]
    process = subprocess.Popen(gunicorn, cwd=ROOT, env=environment)
    port = int(environment["PORT"])
    try:
        for _ in range(1200):  # a busy machine takes its time
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def server_key(server: int, server_environment: dict[str, str]) -> str:
    create = [sys.executable, "manage.py", "create_api_key", "tests"]
    result = subprocess.run(create, cwd=ROOT, env=server_environment, capture_output=True, text=True, check=True)
    return result.stdout.strip()


@pytest.fixture(scope="session", name="registry")
def served_registry(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Registry]":
    """A server that tests may kill and start again, on a database of its own of the kind that is tested."""
    from devices.tests.faults import database_of_its_own, served  # which import this module

    folder = tmp_path_factory.mktemp("faults")
    with database_of_its_own(folder) as url, served(url, folder) as running:
        yield running


def children(pid: int) -> list[int]:
    """Return the processes that this one has started."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that is ending
            found += [int(child) for child in task.read_text().split()]
    return found


def workers(port: int) -> list[int]:
    """Return the process ids of the workers of the server on this port, which a fixture has started."""
    mothers = children(os.getpid())
    [mother] = [pid for pid in mothers if f"PORT={port}\0" in Path(f"/proc/{pid}/environ").read_text()]
    return children(mother)
