"""The Dockerfile, compose.yaml and the files that they use agree with each other, the settings and the documents.

`make test-image` builds and runs them.
"""

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cexup import __version__
from devices.checks import MIN_POSTGRESQL
from devices.tests.support.services import compose
from devices.tests.support.services.server import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
PAGE = (ROOT / "docs/operations/containers.md").read_text()
# Variables that are not settings of the registry: of Python, gunicorn and the images of others.
OTHERS = {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "GUNICORN_CMD_ARGS"}
IMAGES = {"postgres", "redis", "nginx"}
HARDENED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
WITH_A_NETWORK = {"nginx", "registry"}


def services() -> list[Any]:
    return [pytest.param(service, id=name) for name, service in compose.services().items()]


def names_of_settings() -> set[str]:
    return set(re.findall(r"^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


# --- Dockerfile


def test_each_variable_of_the_image_is_a_setting() -> None:
    [block] = re.findall(r"^ENV (.+?[^\\])$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    names = set(re.findall(r"^ *(\w+)=\S", block, re.MULTILINE))
    assert {"HOST", "DATABASE_URL"} <= names
    assert names - OTHERS <= names_of_settings()


def test_each_path_that_the_build_copies_exists_and_is_not_secret() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert [path for path in copied if not (ROOT / path).exists()] == []
    assert lines[1] == "*"  # all others are ignored
    ignored = (ROOT / ".gitignore").read_text().split()
    assert set(copied) & {path.strip("/") for path in ignored} == set()
    assert "devices/tests" in lines
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        assert set(line.split()) <= {*copied, "."}


def test_version_of_the_image_is_that_of_the_registry() -> None:
    assert re.findall(r'image\.version="([^"]+)"', DOCKERFILE) == [__version__]


def test_base_of_the_image_is_tested_by_ci() -> None:
    [version, release] = re.findall(r"^ARG BASE=python:(\d\.\d+)-slim-(\w+)$", DOCKERFILE, re.MULTILINE)[0]
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    assert f'"{version}"' in workflow
    assert f"python:${{{{ matrix.python }}}}-{release}" in workflow


# --- The health check


def health(port: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "cexup.healthcheck"]
    environment = {"HOST": "0.0.0.0", "PORT": str(port)}  # noqa: S104  (not used to listen)
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_health_check_fails_without_a_server() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # it does not listen
        process = health(bound.getsockname()[1])
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, "")
    assert re.fullmatch(r"The registry does not respond: .+\.\n", errors)


@pytest.mark.parametrize(
    ("line", "code", "reason"),
    [
        (b"200 OK", 0, ""),
        (b"500 Internal Server Error", 1, "The registry responded with status 500.\n"),
        (b"301 Moved Permanently", 1, "The registry responded with status 301.\n"),
    ],
)
def test_health_check_depends_on_the_status(line: bytes, code: int, reason: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = health(server.getsockname()[1])
        with server.accept()[0] as client:
            assert client.recv(65536).startswith(b"GET /healthz HTTP/1.1\r\n")
            client.sendall(b"HTTP/1.1 " + line + b"\r\nContent-Length: 0\r\n\r\n")
        _output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (code, reason)


# --- compose.yaml


@pytest.mark.parametrize("service", services())
def test_each_variable_of_a_service_of_the_registry_is_a_setting(service: dict[str, Any]) -> None:
    if service["image"].startswith("${REGISTRY_IMAGE"):
        names = {name.removesuffix("_FILE") for name in service["environment"]}
        assert {"SECRET_KEY", "DATABASE_URL"} <= names <= names_of_settings()


@pytest.mark.parametrize("service", services())
def test_services_are_hardened(service: dict[str, Any]) -> None:
    assert {key: service[key] for key in HARDENED} == HARDENED
    assert "privileged" not in service
    assert service["image"].startswith("${REGISTRY_IMAGE") or service.get("user") or service["cap_add"]


def test_only_nginx_has_published_ports_and_only_two_services_a_network() -> None:
    found = compose.services()
    assert {name for name, service in found.items() if "ports" in service} == {"nginx"}
    assert {name for name, service in found.items() if service.get("network_mode") != "none"} == WITH_A_NETWORK


@pytest.mark.parametrize("service", services())
def test_files_that_a_service_uses_exist(service: dict[str, Any]) -> None:
    document = yaml.safe_load(compose.FILE.read_text())
    for volume in service.get("volumes", []):
        source = compose.interpolated(volume, {}).split(":")[0]
        assert source in document["volumes"] or source.startswith("/etc/") or (ROOT / source).exists(), source
    assert set(service.get("secrets", [])) <= set(document["secrets"])
    words = [*service.get("entrypoint", []), *service.get("command", [])]
    for path in re.findall(r"/deploy/[\w./-]+", " ".join(words)):
        assert (ROOT / path.lstrip("/")).exists(), path


def test_owner_secret_is_only_in_services_that_migrate_or_prune() -> None:
    found = {name for name, service in compose.services().items() if "owner_database_url" in service.get("secrets", [])}
    assert found == {"roles", "rights", "migrate", "prune"}


def test_dependencies_exist_and_jobs_run_in_order() -> None:
    found = compose.services()
    needed = {name: set(service.get("depends_on", {})) for name, service in found.items()}
    assert set().union(*needed.values()) <= found.keys()
    assert [needed[name] for name in ("rights", "migrate", "roles")] == [{"migrate"}, {"roles"}, {"database"}]
    for name, service in found.items():
        for other, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in found[other] or found[other].get("build"), (name, other)


def test_versions_of_images_are_those_of_the_page() -> None:
    images = {service["image"] for service in compose.services().values() if "$" not in service["image"]}
    pinned = {re.fullmatch(r"(\w+):([\w.-]+)", image) for image in images}
    named = {match[1]: match[2] for match in pinned if match}
    assert named.keys() == IMAGES
    assert all(f"`{name}:{tag}`" in PAGE for name, tag in named.items())
    assert int(named["postgres"].partition("-")[0]) >= MIN_POSTGRESQL


def test_secrets_are_created_once_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o755)  # the operator may have created it
    create = [ROOT / "deploy/compose/create-secrets.sh", folder]
    subprocess.run(create, check=True)
    secrets = {path.name: path.read_text().strip() for path in folder.iterdir()}
    subprocess.run(create, check=True)
    assert {path.name: path.read_text().strip() for path in folder.iterdir()} == secrets
    assert secrets.keys() == yaml.safe_load(compose.FILE.read_text())["secrets"].keys()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert re.fullmatch(r"[0-9a-f]{64}", secrets["secret_key"])
    for role in ("app", "owner"):
        url = rf"postgres://registry_{role}:[0-9a-f]{{64}}@%2Frun%2Fpostgresql/registry"
        assert re.fullmatch(url, secrets[f"{role}_database_url"])


def test_names_that_nginx_replaces_are_in_its_configuration() -> None:
    script = (ROOT / "deploy/compose/start-nginx.sh").read_text()
    configuration = (ROOT / "deploy/nginx.conf").read_text()
    replaced = [pattern.replace("\\", "") for pattern in re.findall(r"s[/|]([^/|]+|/var[^|]+)[/|]", script)]
    assert replaced == ["registry.example.org", "server 127.0.0.1:8000", "/var/log/nginx/access.log"]
    assert all(text in configuration for text in replaced)


def test_file_for_a_proxy_changes_existing_services() -> None:
    document = yaml.safe_load((ROOT / "deploy/compose/behind-proxy.yaml").read_text())
    assert document["services"].keys() <= compose.services().keys()
    assert document["services"]["registry"]["ports"] == ["127.0.0.1:8000:8000"]
