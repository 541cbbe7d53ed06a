"""compose.yaml with the image: its jobs, its database roles and nginx, with Debian's PostgreSQL, Redis and nginx.

Docker's own images of these three are not tried: their start scripts are not part of Debian.
"""

import http.client
import json
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from devices.tests.support.factories import device_payload
from devices.tests.support.services import compose
from devices.tests.support.services.compose import Project
from devices.tests.support.services.container import Container, run
from devices.tests.support.services.image import Image
from devices.tests.support.services.server import ROOT

NAME = "devices.example.net"  # not the name in deploy/nginx.conf
DELETE_RECORDS = "from django.db import connection as c; c.cursor().execute('DELETE FROM devices_auditevent')"
JOBS = ["roles", "migrate", "rights"]


class Stack(NamedTuple):
    project: Project
    database: Container
    redis: Container
    registry: Container
    nginx: Container


def until_healthy(name: str, container: Container) -> None:
    """Run the command of the health check of a service until it succeeds."""
    kind, *test = (
        compose.services()[name].get("healthcheck", {}).get("test", ["CMD", "python3", "-m", "cexup.healthcheck"])
    )
    words = [compose.interpolated(word, {}) for word in test]
    command = words if kind == "CMD" else ["/bin/sh", "-c", *words]
    for _ in range(300):
        if container.execute(*command).returncode == 0:
            return
        assert container.process.poll() is None, container.log
        time.sleep(0.2)
    raise AssertionError(f"{name}: {container.execute(*command)} {container.log}")


def finished(project: Project, name: str, *command: str) -> str:
    """Run a job until it ends; return what it prints."""
    result = run(project.specification(name, *command))
    assert result.returncode == 0, f"{name}: {result.stdout}{result.stderr}"
    return result.stdout


def create_database(project: Project) -> None:
    """Do what the image of PostgreSQL does at its first start."""
    environment = {key: str(value) for key, value in compose.services()["database"]["environment"].items()}
    arguments = ["--username=postgres", "--no-sync", *environment["POSTGRES_INITDB_ARGS"].split()]
    finished(project, "database", "initdb", *arguments)


@pytest.fixture(scope="module")
def stack(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All services, started in the order of compose.yaml."""
    folder = tmp_path_factory.mktemp("compose")
    subprocess.run([ROOT / "deploy/compose/create-secrets.sh", folder / "secrets"], check=True)
    project = Project(folder, image, {"ALLOWED_HOSTS": f"{NAME},other.example.net", "WEB_CONCURRENCY": "2"})
    sign(project.certificates / "live" / NAME)
    create_database(project)
    with ExitStack() as services:
        database = services.enter_context(project.up("database"))
        until_healthy("database", database)
        created = database.execute("createdb", compose.services()["database"]["environment"]["POSTGRES_DB"])
        assert created.returncode == 0, created.stderr
        for job in JOBS:
            finished(project, job)
        redis = services.enter_context(project.up("redis"))
        until_healthy("redis", redis)
        registry = services.enter_context(project.up("registry"))
        until_healthy("registry", registry)
        nginx = services.enter_context(project.up("nginx", UPSTREAM=f"{registry.address}:8000"))
        until_healthy("nginx", nginx)
        yield Stack(project, database, redis, registry, nginx)


def sign(folder: Path) -> None:
    folder.mkdir(parents=True)
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subject = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    subprocess.run([*command, *subject, *files], check=True, capture_output=True)


def send(stack: Stack, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Send a request to nginx over TLS, and check its certificate."""
    context = ssl.create_default_context(cafile=stack.project.certificates / "live" / NAME / "fullchain.pem")
    connection = Through(stack.nginx.address, context)
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, {"Content-Type": "application/json", **headers})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, json.loads(content) if content[:1] == b"{" else content


class Through(http.client.HTTPSConnection):
    """A connection for NAME to an address."""

    def __init__(self, address: str, context: ssl.SSLContext) -> None:
        super().__init__(NAME, timeout=60, context=context)
        self.address, self.context = address, context

    def connect(self) -> None:
        plain = http.client.HTTPConnection(self.address, 443, timeout=60)
        plain.connect()
        self.sock = self.context.wrap_socket(plain.sock, server_hostname=NAME)


def in_database(stack: Stack, *command: str) -> str:
    """Run a command in the container of the database, as the superuser; return what it prints."""
    result = stack.database.execute(*command)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def psql(stack: Stack, statement: str) -> str:
    """Return the result of a query."""
    return in_database(stack, "psql", "--no-psqlrc", "-d", "registry", "-At", "-c", statement)


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("validator")


@pytest.mark.parametrize("file", [compose.FILE, ROOT / "deploy/compose/behind-proxy.yaml"], ids=lambda path: path.name)
def test_file_follows_the_specification_of_compose(file: Path, validator: Path) -> None:
    result = compose.checked(file, validator)
    assert result.returncode == 0, result.stderr


def test_file_that_does_not_follow_the_specification_is_found(validator: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(compose.FILE.read_text().replace("read_only: true", "read_onyl: true"))
    assert "read_onyl" in compose.checked(wrong, validator).stderr


def test_clients_are_served_over_tls(stack: Stack) -> None:
    create = stack.registry.execute("manage.py", "create_api_key", "compose")
    assert create.returncode == 0, create.stderr
    key = {"x-api-key": create.stdout.strip()}
    status, created = send(stack, "POST", "/api/devices", [device_payload(1)], **key)
    assert status == 201, created
    status, listed = send(stack, "GET", "/api/devices", **key)
    assert (status, [device["id"] for device in listed["data"]]) == (200, [created["data"][0]["id"]])
    assert send(stack, "GET", "/readyz")[0] == 200
    address = psql(stack, "SELECT DISTINCT host(history_ip_address) FROM devices_historicaldevice")
    assert address == stack.nginx.address.rpartition(".")[0] + ".1"  # of this machine, which is not that of nginx


def test_plain_http_is_redirected_to_the_configured_name(stack: Stack) -> None:
    connection = http.client.HTTPConnection(stack.nginx.address, 80, timeout=60)
    connection.request("GET", "/admin/", headers={"Host": NAME})
    response = connection.getresponse()
    assert (response.status, response.getheader("Location")) == (308, f"https://{NAME}/admin/")
    connection.close()


def test_the_jobs_change_nothing_the_second_time(stack: Stack) -> None:
    before = psql(stack, "SELECT count(*) FROM django_migrations")
    printed = [finished(stack.project, job) for job in JOBS]
    assert "No migrations to apply." in printed[1]
    assert psql(stack, "SELECT count(*) FROM django_migrations") == before


def test_the_settings_pass_the_deployment_checks(stack: Stack) -> None:
    """No warning about unencrypted connections: PostgreSQL and Redis are used over sockets."""
    check = ["manage.py", "check", "--deploy", "--fail-level=WARNING", "--database=default"]
    result = stack.registry.execute(*check)
    assert (result.returncode, result.stdout) == (0, "System check identified no issues (0 silenced).\n"), result.stderr


def test_the_registry_uses_redis(stack: Stack) -> None:
    assert send(stack, "GET", "/api/devices", **{"x-api-key": "cxp_invalid"})[0] == 401
    keys = stack.redis.execute("redis-cli", "-s", "/data/redis.sock", "dbsize")
    assert int(keys.stdout) > 0


def test_the_registry_cannot_change_records(stack: Stack) -> None:
    result = stack.registry.execute("manage.py", "shell", "-c", DELETE_RECORDS)
    assert "permission denied for table devices_auditevent" in result.stderr


def test_the_owner_prunes(stack: Stack) -> None:
    assert "audit log events deleted" in finished(stack.project, "prune")


def test_the_superuser_needs_the_container_of_the_database(stack: Stack) -> None:
    specification = stack.project.specification("roles", "psql", "-U", "postgres", "-d", "registry", "-c", "SELECT 1")
    assert run(specification).returncode == 0
    other = stack.project.specification("redis", "psql", "-h", "/run/postgresql", "-U", "postgres", "-d", "registry")
    assert run(other).returncode != 0


def test_services_without_a_network_have_none(stack: Stack) -> None:
    for container in (stack.database, stack.redis):
        interfaces = Path(f"/proc/{container.pid}/net/dev").read_text()
        assert [line.split(":")[0].strip() for line in interfaces.splitlines()[2:]] == ["lo"]


def test_a_dump_is_restored_into_an_empty_database(stack: Stack) -> None:
    """The commands of the page about containers, with --force in place of a stopped registry."""
    counts = "SELECT (SELECT count(*) FROM devices_device), (SELECT count(*) FROM devices_auditevent)"
    before = psql(stack, counts)
    create = ["createdb", "-E", "UTF8", "-T", "template0", "--locale=C.UTF-8", "registry"]
    in_database(stack, "pg_dump", "--format=custom", "--file=/tmp/dump", "registry")
    in_database(stack, "dropdb", "--force", "registry")
    in_database(stack, *create)
    finished(stack.project, "roles")
    in_database(stack, "pg_restore", "--dbname=registry", "--exit-on-error", "/tmp/dump")  # noqa: S108
    finished(stack.project, "rights")
    assert psql(stack, counts) == before
    assert send(stack, "GET", "/readyz")[0] == 200
    result = stack.registry.execute("manage.py", "check", "--database=default")
    assert result.stdout == "System check identified no issues (0 silenced).\n", result.stderr
    delete = stack.registry.execute("manage.py", "shell", "-c", DELETE_RECORDS)
    assert "permission denied for table devices_auditevent" in delete.stderr


def test_a_health_check_survives_the_loss_of_the_database_and_redis(stack: Stack) -> None:
    """It must be last: it ends the database."""
    stack.redis.stop()
    assert send(stack, "GET", "/readyz")[0] == 200
    stack.database.stop(signal.SIGINT)  # as the image of PostgreSQL: it does not wait for its clients
    assert send(stack, "GET", "/readyz")[0] == 503
    assert stack.registry.execute("python3", "-m", "cexup.healthcheck").returncode == 0
    assert stack.registry.stop() == 0, stack.registry.log
    status, body = send(stack, "GET", "/api/devices")
    assert (status, body["code"]) == (503, 503)
