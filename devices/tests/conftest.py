"""Fixtures: hospitals and their API keys, users of the admin, devices, and servers."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connection
from django.test import Client, TransactionTestCase
from hypothesis import settings as hypothesis_settings

from devices.access.actor import SYSTEM
from devices.accounts import users
from devices.api import authentication
from devices.audit import denials
from devices.db.triggers import append_only
from devices.models import ApiKey, Device, Hospital
from devices.ratelimit import stores
from devices.registry import hospitals
from devices.tests.support.admin.users import password_hash
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register
from devices.tests.support.services.redis import redis_server  # noqa: F401  (a fixture)
from devices.tests.support.services.server import ROOT, children, served_from, serving

if TYPE_CHECKING:
    from devices.tests.support.services.faults import Registry


MARKERS = ("browser", "cluster", "drill", "faults", "fuzz", "image")  # folders whose tests have the marker of that name
WITHOUT_DATABASE = (
    "cluster",
    "crypto",
    "fuzz",
    "imports",
    "project",
    "values",
)  # folders with tests that use no database
WITH_THEIR_DATABASE = (  # modules whose tests start servers with the same databases in each run
    "db/test_moving_databases.py",
    "server/test_behind_nginx.py",
    "server/test_file_modes.py",
    "server/test_nginx_edge.py",
    "server/test_server_log.py",
    "server/test_tls.py",
    "server/test_settings.py",
    "ratelimit/test_shared_limits.py",
    "project/test_client_examples.py",
)
SLOW = (  # modules with tests that take more than five seconds
    "db/test_moving_databases.py",
    "schema/test_conformance.py",
    "browser/test_guide.py",
    "browser/test_pages.py",
    "browser/test_printing.py",
    "cluster/test_applications.py",
    "cluster/test_databases.py",
    "faults/test_clock.py",
    "faults/test_disk.py",
    "faults/test_machines.py",
    "faults/test_metrics.py",
    "faults/test_migration.py",
    "faults/test_postgres.py",
    "faults/test_server.py",
    "faults/test_sqlite.py",
    "faults/test_two_versions.py",
    "fuzz/test_fuzzing.py",
    "history/test_replica.py",
    "imports/test_limits.py",
    "server/test_settings.py",
    "ratelimit/test_shared_limits.py",
    "registry/test_model.py",
    "server/test_request_limits.py",
)

# By default, an example that takes longer than 200 ms fails. On a busy machine any example can.
hypothesis_settings.register_profile("tests", deadline=None)
hypothesis_settings.load_profile("tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for name in MARKERS:
            if item.path.parent.name == name:
                item.add_marker(name)
        if does_not_depend_on_the_database(item):
            item.add_marker("any_database")
        if module_of(item) in SLOW:
            item.add_marker("slow")


def module_of(item: pytest.Item) -> str:
    """Return the folder and name of the test module."""
    return f"{item.path.parent.name}/{item.path.name}"


def does_not_depend_on_the_database(item: pytest.Item) -> bool:
    fixtures: list[str] = item.fixturenames  # type: ignore[attr-defined]
    uses_database = item.get_closest_marker("django_db") or {"db", "transactional_db"} & set(fixtures)
    return module_of(item) in WITH_THEIR_DATABASE or (item.path.parent.name in WITHOUT_DATABASE and not uses_database)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    tmp_path_factory: pytest.TempPathFactory, django_db_modify_db_settings_parallel_suffix: None
) -> None:
    """Keep the test database of SQLite in a file, as in production. Locks work differently in memory."""
    database = django_settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        database["TEST"]["NAME"] = str(tmp_path_factory.mktemp("database") / "registry.sqlite3")


@pytest.fixture(scope="session")
def static_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("static")


@pytest.fixture(autouse=True)
def _plain_static_files(settings: Any, static_root: Path) -> None:
    """Use static files without a manifest: a fresh clone has no collected files."""
    settings.STATIC_ROOT = static_root
    backend = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": backend}


@pytest.fixture(scope="session", autouse=True)
def _allow_flush() -> Iterator[None]:
    """Remove the append-only triggers before the `flush` at the end of a test, which they would reject.

    `flush` sends post_migrate, which installs them again. Django has no public hook before the flush. If a version has
    no `_fixture_teardown`, this fixture fails.
    """
    test_case: Any = TransactionTestCase
    flush = test_case._fixture_teardown

    def remove_and_flush(case: TransactionTestCase) -> None:
        append_only.remove(connection)
        flush(case)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_case, "_fixture_teardown", remove_and_flush)
        yield


@pytest.fixture(autouse=True)
def _fast_password_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords with one iteration. In production a hash takes about half a second."""
    if not request.node.get_closest_marker("browser"):  # the server would renew such a hash, and end the sessions
        monkeypatch.setattr(PBKDF2PasswordHasher, "iterations", 1)


@pytest.fixture(autouse=True)
def _reset_process_state() -> Iterator[None]:
    """Stop the clock of the rate limits, so that no window ends during a test, and discard the state of the process."""
    now = time.time()
    stores.limiter().clock = lambda: now
    yield
    authentication._paused_until = 0.0
    stores.limiter.cache_clear()
    denials.deduplicator = denials.EventDeduplicator()


@pytest.fixture
def rs_a(db: None) -> Hospital:
    return hospitals.get_or_create(["RS Harapan"], SYSTEM)["rs harapan"]


@pytest.fixture
def rs_b(db: None) -> Hospital:
    return hospitals.get_or_create(["RS Sehat"], SYSTEM)["rs sehat"]


@pytest.fixture
def api(db: None) -> Api:
    """A client with a key of all hospitals."""
    return Api(issue("unbound").text)


@pytest.fixture
def reader(db: None) -> Api:
    """A client with a read-only key of all hospitals."""
    return Api(issue("reader", read_only=True).text)


@pytest.fixture
def api_a(rs_a: Hospital) -> Api:
    return Api(issue("ward app of RS Harapan", hospitals=[rs_a]).text)


@pytest.fixture
def api_b(rs_b: Hospital) -> Api:
    return Api(issue("ward app of RS Sehat", hospitals=[rs_b]).text)


@pytest.fixture
def camel(db: None) -> Api:
    """A client whose fields are in camelCase."""
    return Api(issue("web", naming=ApiKey.Naming.CAMEL_CASE).text)


@pytest.fixture
def outsider(db: None) -> Api:
    """A client without a key."""
    return Api(None)


@pytest.fixture
def operator(db: None) -> Client:
    """A browser in which an operator is signed in to the admin."""
    return _signed_in(get_user_model().objects.create_superuser("operator"))


@pytest.fixture
def ratna(rs_a: Hospital) -> Client:
    """A browser in which a hospital admin of RS Harapan is signed in to the admin."""
    return _signed_in(users.invite("Ibu Ratna", "ratna@rs.example", [rs_a]))


def _signed_in(user: Any) -> Client:
    user.password = password_hash()
    user.save(update_fields=["password"])
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def devices(rs_a: Hospital, rs_b: Hospital) -> dict[str, Device]:
    """One device of each hospital, and one without a hospital."""
    a, b, free = register(
        device_payload(1, device_holder=rs_a.name), device_payload(2, device_holder=rs_b.name), device_payload(3)
    )
    return {"a": a, "b": b, "free": free}


@pytest.fixture
def unused_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="session")
def server_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment variables of a server with its own SQLite database, also for commands."""
    return served_from(f"sqlite:///{tmp_path_factory.mktemp('server') / 'registry.sqlite3'}")


@pytest.fixture(scope="session")
def server(server_environment: dict[str, str]) -> Iterator[int]:
    """The port of a gunicorn with the configuration of `make run`."""
    run = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(run, cwd=ROOT, env=server_environment, check=True)
    with serving(server_environment) as port:
        yield port


@pytest.fixture(scope="session")
def server_key(server: int, server_environment: dict[str, str]) -> str:
    create = [sys.executable, "manage.py", "create_api_key", "tests"]
    result = subprocess.run(create, cwd=ROOT, env=server_environment, capture_output=True, text=True, check=True)
    return result.stdout.strip()


@pytest.fixture(scope="session", name="registry")
def served_registry(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Registry]":
    """A server that tests can kill and start again, with its own database on the vendor that is tested."""
    from devices.tests.support.services.faults import new_database, served

    folder = tmp_path_factory.mktemp("faults")
    with new_database(folder) as url, served(url, folder) as running:
        yield running


def workers(port: int) -> list[int]:
    """Return the process ids of the workers of the server on this port. A fixture has started the server."""
    masters = children(os.getpid())
    [master] = [pid for pid in masters if f"PORT={port}\0" in Path(f"/proc/{pid}/environ").read_text()]
    return children(master)
