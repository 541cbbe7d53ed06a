"""The container image: what it contains, and how it runs with SQLite on its volume and nothing else to write to."""

import http.client
import json
import os
import re
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cexup import __version__
from devices.tests.support.factories import device_payload
from devices.tests.support.services.container import Container, Mount, Specification, run, running
from devices.tests.support.services.image import Image
from devices.tests.support.services.server import children

UID = 10001
NAME = "registry.example.org"
SETTINGS = {
    "SECRET_KEY": "image-tests-" + "x" * 40,
    "ALLOWED_HOSTS": NAME,
    "TRUSTED_PROXIES": "1",
    "WEB_CONCURRENCY": "2",
}
MIB = 1024 * 1024


class Served(NamedTuple):
    container: Container
    volume: Path
    key: str


class Reply(NamedTuple):
    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def specification(image: Image, volume: Path, *command: str, mounts: tuple[Mount, ...] = ()) -> Specification:
    """Return how to run the image as `docker run` does: with its user, environment, folder and, by default, command."""
    variables = dict(pair.split("=", 1) for pair in image.config["Env"])
    [target] = image.config["Volumes"]
    return Specification(
        root=image.root,
        command=command or image.config["Cmd"],
        user=image.config["User"],
        environment={**variables, **SETTINGS},
        workdir=image.config["WorkingDir"],
        mounts=[Mount(volume, target), *mounts],
    )


def manage(image: Image, volume: Path, *command: str, mounts: tuple[Mount, ...] = ()) -> str:
    """Run a command of the registry in a new container; return what it prints."""
    result = run(specification(image, volume, "manage.py", *command, mounts=mounts))
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def send(address: str, method: str, path: str, body: Any = None, **headers: str) -> Reply:
    """Send a request to gunicorn, as a proxy that terminates TLS does."""
    connection = http.client.HTTPConnection(address, 8000, timeout=60)
    sent = {"Host": NAME, "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, {**sent, "Content-Type": "application/json"})
    response = connection.getresponse()
    reply = Reply(response.status, response.read())
    connection.close()
    return reply


def wait_until_healthy(container: Container) -> None:
    """Run the command of HEALTHCHECK until it succeeds, as Docker does."""
    for _ in range(100):
        if container.execute(*health_command(container)).returncode == 0:
            return
        assert container.process.poll() is None, container.log
        time.sleep(0.2)
    raise AssertionError(container.log)


def health_command(_container: object) -> list[str]:
    return ["python3", "-m", "cexup.healthcheck"]


@pytest.fixture(scope="module")
def volume(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A volume with a migrated SQLite database, which belongs to the user of the image."""
    folder = tmp_path_factory.mktemp("volume")
    os.chown(folder, UID, UID)
    manage(image, folder, "migrate", "--no-input")
    return folder


@pytest.fixture(scope="module")
def served(image: Image, volume: Path) -> Iterator[Served]:
    key = manage(image, volume, "create_api_key", "image").strip()
    with running(specification(image, volume)) as container:
        container.connect()
        wait_until_healthy(container)
        yield Served(container, volume, key)


# --- The content


def test_configuration_of_the_image(image: Image) -> None:
    config = image.config
    assert config["User"] == f"{UID}:{UID}"
    assert config["Healthcheck"]["Test"] == ["CMD", *health_command(image)]
    assert config["Cmd"] == ["gunicorn", "--config", "gunicorn.conf.py"]
    assert not config.get("Entrypoint")
    assert config["StopSignal"] in ("SIGTERM", "15")
    assert (list(config["Volumes"]), list(config["ExposedPorts"])) == (["/var/lib/registry"], ["8000/tcp"])
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == "Cexup Device Registry"
    assert labels["org.opencontainers.image.version"] == __version__


def test_image_contains_only_what_the_server_needs(image: Image) -> None:
    home = image.root / "srv/registry"
    copied = {".env.example", "cexup", "devices", "docs", "gunicorn.conf.py", "manage.py", "templates"}
    copied |= {"requirements.txt", "requirements-tracing.txt"}
    assert {path.name for path in home.iterdir()} == copied | {".venv", "staticfiles"}
    assert [path.name for path in (home / "docs").iterdir()] == ["images"]
    assert (home / "staticfiles/staticfiles.json").exists()
    own = [path for name in ("cexup", "devices", "templates", "docs") for path in (home / name).rglob("*")]
    assert [path for path in own if "tests" in path.parts or path.suffix in (".po", ".sqlite3")] == []
    installed = {
        path.name.partition("-")[0].lower() for path in home.glob(".venv/lib/python3*/site-packages/*.dist-info")
    }
    assert "django" in installed
    assert installed & {"pip", "setuptools", "wheel", "pytest", "opentelemetry_sdk"} == set()
    everywhere = {path.name for path in image.root.rglob("*")}
    assert everywhere & {".git", ".env", "pip.conf", ".cache", ".pytest_cache", ".mypy_cache", "registry.env"} == set()
    assert list(image.root.glob("mnt/*")) == []


def test_no_layer_and_no_variable_has_a_secret(image: Image) -> None:
    """The build sets one secret, which a command reads from the kernel. It stays out of the configuration."""
    assert [pair for pair in image.config["Env"] if re.search(r"KEY|SECRET|PASSWORD|TOKEN", pair)] == []
    assert re.findall(r"SECRET_KEY=(.{10})", "\n".join(image.history)) in ([], ['"$(head -c'])
    for path in (image.root / "srv/registry").iterdir():
        if path.is_file():
            assert not re.search(r"SECRET_KEY=(?!change-me)\S{32}", path.read_text()), path


def test_the_user_of_the_image_owns_only_the_volume(image: Image) -> None:
    writable = []
    for path in image.root.rglob("*"):
        found = path.lstat()
        by_all = found.st_mode & stat.S_IWOTH and not stat.S_ISLNK(found.st_mode) and not found.st_mode & stat.S_ISVTX
        if UID in (found.st_uid, found.st_gid) or by_all:
            writable.append(str(path.relative_to(image.root)))
    assert writable == ["var/lib/registry"]
    setuid = [path for path in (image.root / "srv").rglob("*") if path.lstat().st_mode & (stat.S_ISUID | stat.S_ISGID)]
    assert setuid == []


def test_each_file_of_the_server_is_readable_by_all(image: Image) -> None:
    for path in (image.root / "srv").rglob("*"):
        mode = path.lstat().st_mode
        assert mode & stat.S_IROTH, path
        assert not stat.S_ISDIR(mode) or mode & stat.S_IXOTH, path


def test_size_is_reported(image: Image, capsys: pytest.CaptureFixture[str]) -> None:
    def size(path: Path) -> float:
        sizes = [each.lstat() for each in [path, *path.rglob("*")]]
        return (
            sum(found.st_blocks * 512 for found in {(found.st_dev, found.st_ino): found for found in sizes}.values())
            / MIB
        )

    server, environment = size(image.root / "srv"), size(image.root / "srv/registry/.venv")
    with capsys.disabled():
        print(  # noqa: T201
            f"\nThe server takes {server:.0f} MiB, of which packages {environment:.0f}; all {size(image.root):.0f} MiB."
        )
    assert server < 250


# --- Commands


def test_a_second_migration_changes_nothing(image: Image, volume: Path) -> None:
    assert "No migrations to apply." in manage(image, volume, "migrate", "--no-input")


def test_the_settings_of_the_image_pass_the_deployment_checks(image: Image, volume: Path) -> None:
    output = manage(image, volume, "check", "--deploy", "--fail-level=WARNING", "--database=default")
    assert output == "System check identified no issues (0 silenced).\n"


def test_commands_run_in_the_container(served: Served) -> None:
    environment = ["env", "DJANGO_SUPERUSER_PASSWORD=a long pass phrase 7"]
    create = ["manage.py", "createsuperuser", "--no-input", "--username=operator", "--email=o@example.org"]
    result = served.container.execute(*environment, *create)
    assert result.returncode == 0, result.stderr
    assert "image" in served.container.execute("manage.py", "list_api_keys").stdout
    assert served.container.execute("manage.py", "prune").returncode == 0


def test_devices_are_imported_from_a_mounted_file(image: Image, volume: Path, tmp_path: Path) -> None:
    file = tmp_path / "devices.csv"
    file.write_text("device_name,device_mac,device_type,device_holder\nWard 9,D0:61:AE:00:00:09,CONSUMER,RS Harapan\n")
    file.chmod(0o644)
    output = manage(
        image,
        volume,
        "import_devices",
        "/import.csv",
        "--new-hospitals",
        mounts=(Mount(file, "/import.csv", read_only=True),),
    )
    assert "1 registered" in output


# --- Serving


def test_it_serves_the_api_and_the_admin(served: Served) -> None:
    address = served.container.address
    ready = send(address, "GET", "/readyz")
    assert ready.status == 200, served.container.log
    assert send(address, "GET", "/healthz").json["data"] == {"version": __version__}
    assert send(address, "GET", "/api/devices").status == 401
    created = send(address, "POST", "/api/devices", [device_payload(1)], x_api_key=served.key)
    assert created.status == 201, created.body
    listed = send(address, "GET", "/api/devices?device_mac=" + device_payload(1)["device_mac"], x_api_key=served.key)
    assert [device["id"] for device in listed.json["data"]] == [device["id"] for device in created.json["data"]]
    page = send(address, "GET", "/admin/login/")
    assert page.status == 200
    [style, *_others] = re.findall(r'href="(/static/devices/pages\.[^"]+\.css)"', page.body.decode())
    assert send(address, "GET", style).status == 200


def test_all_processes_run_as_the_user_without_rights(served: Served) -> None:
    processes = [served.container.pid, *children(served.container.pid)]
    assert len(processes) == 3  # the master and two workers
    for pid in processes:
        status = Path(f"/proc/{pid}/status").read_text()
        assert re.search(rf"^Uid:\t{UID}\t{UID}\t{UID}\t{UID}$", status, re.MULTILINE)
        assert re.search(r"^Groups:\t *$", status, re.MULTILINE)
        assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
        assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE)


def test_only_the_volume_and_memory_can_be_written(served: Served) -> None:
    """Even root in the container cannot write elsewhere, so the server has not."""
    shell = ["nsenter", f"--target={served.container.pid}", "--mount", "--root", "/bin/sh", "-c"]
    folders = ["/", "/srv/registry", "/etc", "/root", "/usr", "/var", "/var/lib", "/run", "/home"]
    script = f'for folder in {" ".join(folders)}; do touch "$folder/x" 2>/dev/null && echo "$folder"; done; true'
    assert subprocess.run([*shell, script], capture_output=True, text=True, check=True).stdout == ""
    assert served.container.execute("touch", "/tmp/x", "/dev/shm/x", "/var/lib/registry/x").returncode == 0  # noqa: S108
    (served.volume / "x").unlink()


def test_files_of_the_volume_are_private(served: Served) -> None:
    files = [path for path in served.volume.iterdir() if path.name.startswith("db.sqlite3")]
    assert files
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_health_check_fails_without_a_server(image: Image, volume: Path) -> None:
    result = run(specification(image, volume, *health_command(image)))
    assert result.returncode == 1
    assert "does not respond" in result.stderr


def test_stop_signal_completes_a_request_and_ends_with_0(image: Image, volume: Path) -> None:
    key = manage(image, volume, "create_api_key", "last request").strip()
    replies = []
    with running(specification(image, volume)) as container:
        container.connect()
        wait_until_healthy(container)
        feed = "/api/devices/changes"
        cursor = send(container.address, "GET", feed, x_api_key=key).json["pagination"]["cursor"]
        path = f"{feed}?wait=30&since={cursor}"
        thread = threading.Thread(target=lambda: replies.append(send(container.address, "GET", path, x_api_key=key)))
        thread.start()
        time.sleep(1)
        assert container.stop() == 0, container.log
        thread.join(30)
    assert [reply.status for reply in replies] == [200]
