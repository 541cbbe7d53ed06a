"""Checks of the connections to other machines, and secrets that are read from files."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dj_database_url
import pytest

from devices import checks
from devices.tests.support.services.cluster import Cluster, cluster
from devices.tests.support.services.server import ROOT

LOCAL = [
    "postgres://registry:x@127.0.0.1:5432/registry",
    "postgres://registry:x@localhost/registry",
    "postgres://registry:x@[::1]/registry",
    "postgres://registry@%2Fvar%2Frun%2Fpostgresql/registry",
    "postgres:///registry",
    "postgres://registry:x@db.example.org/registry?sslmode=verify-full&sslrootcert=/etc/ssl/ca.pem",
    "postgres://registry:x@db.example.org/registry?sslmode=verify-ca",
    "sqlite:////var/lib/registry/db.sqlite3",
]
UNPROTECTED = [
    "postgres://registry:x@db.example.org/registry",
    "postgres://registry:x@192.0.2.7/registry",
    "postgres://registry:x@db.example.org/registry?sslmode=require",
    "postgres://registry:x@db.example.org/registry?sslmode=prefer",
    "postgres://registry:x@127.0.0.1/registry?hostaddr=192.0.2.7",
    "postgres:///registry?host=/var/run/postgresql,db.example.org",
]


def warnings(settings: Any, url: str = LOCAL[0], redis: str = "", https: bool = True) -> list[str | None]:
    settings.HTTPS, settings.REDIS_URL = https, redis
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(settings.DATABASES, "default", dj_database_url.parse(url))
        return [warning.id for warning in checks.connections_are_encrypted()]


@pytest.mark.parametrize("url", LOCAL)
def test_local_or_verified_database_has_no_warning(settings: Any, url: str) -> None:
    assert warnings(settings, url) == []


@pytest.mark.parametrize("url", UNPROTECTED)
def test_unverified_database_on_another_machine_has_a_warning(settings: Any, url: str) -> None:
    assert warnings(settings, url) == ["devices.W003"]
    assert warnings(settings, url, https=False) == []


@pytest.mark.parametrize(
    "url", ["", "redis://127.0.0.1:6379/0", "rediss://:x@redis.example.org/0", "unix:///run/redis"]
)
def test_local_or_encrypted_redis_has_no_warning(settings: Any, url: str) -> None:
    assert warnings(settings, redis=url) == []


def test_unencrypted_redis_on_another_machine_has_a_warning(settings: Any) -> None:
    assert warnings(settings, redis="redis://:x@redis.example.org:6379/0") == ["devices.W006"]


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "manage.py", *arguments]
    environment = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, **environment}
    return subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def check(**environment: str) -> subprocess.CompletedProcess[str]:
    return manage("check", "--deploy", "--database", "default", **environment)


def test_secrets_are_read_from_files(tmp_path: Path) -> None:
    """systemd provides secrets as files with LoadCredential=."""
    key, url = tmp_path / "secret_key", tmp_path / "database_url"
    key.write_text("k" * 50 + "\n")
    url.write_text("nonsense://registry:hunter2@localhost/x\n")
    assert check(SECRET_KEY_FILE=str(key)).returncode == 0
    failed = check(SECRET_KEY_FILE=str(key), DATABASE_URL_FILE=str(url))
    assert failed.returncode != 0
    assert "DATABASE_URL" in failed.stderr
    assert "hunter2" not in failed.stderr + failed.stdout


def test_secret_file_is_validated_and_a_missing_one_is_reported(tmp_path: Path) -> None:
    short = tmp_path / "secret_key"
    short.write_text("hunter2")
    for path in (short, tmp_path / "missing"):
        failed = check(SECRET_KEY_FILE=str(path))
        assert failed.returncode != 0
        assert "SECRET_KEY" in failed.stderr
        assert "hunter2" not in failed.stderr + failed.stdout


# --- The encoding of a PostgreSQL database


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Cluster]:
    with cluster() as server:
        yield server


def checked(server: Cluster, encoding: str, locale: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command with a new database of this encoding and locale."""
    name = f"{encoding}_{locale}_{arguments[0]}".lower().replace(".", "_").replace("-", "_")
    server.run(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE '{locale}' TEMPLATE template0")
    url = f"{server.url.rpartition('/')[0]}/{name}"
    return manage(*arguments, DATABASE_URL=url, SECRET_KEY="k" * 50)


@pytest.mark.parametrize(
    ("encoding", "command"),
    [
        *(
            ("SQL_ASCII", command)
            for command in (("check", "--database", "default"), ("migrate", "-v0"), ("quickstart",))
        ),
        ("LATIN1", ("migrate", "-v0")),
        ("WIN1251", ("check", "--database", "default")),  # it has no é
    ],
)
def test_database_that_is_not_utf_8_is_refused(postgresql: Cluster, encoding: str, command: tuple[str, ...]) -> None:
    result = checked(postgresql, encoding, "C", *command)
    assert result.returncode == 1
    assert f"(devices.E004) The encoding of the database is {encoding}, not UTF8." in result.stderr
    assert "createdb -E UTF8 -T template0" in result.stderr
    assert "Traceback" not in result.stderr


def test_utf_8_database_without_capitals_of_all_letters_has_a_warning(postgresql: Cluster) -> None:
    result = checked(postgresql, "UTF8", "C", "check", "--database", "default")
    assert (result.returncode, "devices.W007" in result.stderr) == (0, True)


def test_database_of_the_manual_has_no_warning(postgresql: Cluster) -> None:
    result = checked(postgresql, "UTF8", "C.UTF-8", "check", "--database", "default")
    assert (result.returncode, result.stderr) == (0, "")
    for file in ("docs/operations/install.md", "deploy/postgresql-roles.sql"):
        assert "createdb -E UTF8 -T template0 --locale=C.UTF-8 registry\n" in (ROOT / file).read_text()
