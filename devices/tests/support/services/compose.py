"""Run the services of compose.yaml in containers: the image of the registry; Debian's PostgreSQL, Redis and nginx."""

import pwd
import re
import shutil
import subprocess
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from devices.tests.support.services.container import Container, Mount, Specification, running
from devices.tests.support.services.image import Image
from devices.tests.support.services.postgres import installed_binaries
from devices.tests.support.services.server import ROOT

FILE = ROOT / "compose.yaml"
VALIDATOR = "compose-spec==0.2.1"
PROGRAMS = [Mount(Path("/usr"), "/usr", read_only=True)]
COPIED = ("passwd", "group", "nsswitch.conf")


def services() -> dict[str, dict[str, Any]]:
    """Return the services of compose.yaml."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
    return found


def interpolated(text: str, variables: dict[str, str]) -> str:
    """Replace $$ and ${NAME:-default}, as Compose does."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else variables.get(match[1], match[2])

    return re.sub(r"\$\$|\$\{(\w+):-([^}]*)\}", value, text)


def checked(file: Path, environment: Path) -> "subprocess.CompletedProcess[str]":
    """Check a file against the specification of Compose, with a program that is installed in its own environment."""
    python = environment / "bin" / "python"
    if not python.exists():
        venv.create(environment, with_pip=True)
        install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", VALIDATOR]
        subprocess.run(install, check=True)
    document = yaml.safe_load(interpolated(file.read_text(), {}))
    command = "import compose_spec, sys; compose_spec.PyCompose.from_yaml(sys.stdin.read()).validate()"
    return subprocess.run(
        [python, "-c", command], input=yaml.safe_dump(document), capture_output=True, text=True, check=False
    )


class Project:
    """The volumes, secrets and settings of one project, in a folder."""

    def __init__(self, folder: Path, image: Image, settings: dict[str, str]) -> None:
        self.folder, self.image, self.settings = folder, image, settings
        self.secrets, self.certificates = folder / "secrets", folder / "certificates"
        self.variables = {"CERTIFICATES": str(self.certificates)}
        self.certificates.mkdir()

    def volume(self, name: str) -> Path:
        """Return the folder of a named volume, which the first service that uses it owns."""
        path = self.folder / "volumes" / name
        if not path.exists():
            path.mkdir(parents=True)
            owner = {"database": "postgres", "database-socket": "postgres", "redis-socket": "redis"}[name]
            shutil.chown(path, owner, owner)
        return path

    def specification(self, name: str, *command: str, environment: dict[str, str] | None = None) -> Specification:
        """Return how to run a service, or another command in its place."""
        service = services()[name]
        is_registry = service["image"].startswith("${REGISTRY_IMAGE")
        config = self.image.config if is_registry else {}
        variables = dict(pair.split("=", 1) for pair in config.get("Env", [])) or self._variables_of_other()
        variables |= self.settings if "env_file" in service else {}
        variables |= {key: str(value) for key, value in service.get("environment", {}).items()} | (environment or {})
        user = config.get("User") or self._user(service.get("user", "root"))
        return Specification(
            root=self.image.root if is_registry else self._root_of_other(name),
            command=command or [*service.get("entrypoint", []), *service.get("command", config.get("Cmd", []))],
            user=user,
            environment=variables,
            workdir=config.get("WorkingDir", "/"),
            mounts=[*self._mounts(service), *self._secrets(service), *(() if is_registry else PROGRAMS)],
            tmpfs=[each.partition(":")[0] for each in service.get("tmpfs", [])],
            capabilities=[each.lower() for each in service.get("cap_add", [])],
        )

    @contextmanager
    def up(self, name: str, **environment: str) -> Iterator[Container]:
        """Run a service in the background. It has a network unless compose.yaml denies it."""
        with running(self.specification(name, environment=environment)) as container:
            if services()[name].get("network_mode") != "none":
                container.connect()
            yield container

    def _mounts(self, service: dict[str, Any]) -> Iterator[Mount]:
        for volume in service.get("volumes", []):
            source, target, *options = interpolated(volume, self.variables).split(":")
            path = self.volume(source) if re.fullmatch(r"[\w-]+", source) else ROOT / source
            yield Mount(path, target, read_only="ro" in options)

    def _secrets(self, service: dict[str, Any]) -> Iterator[Mount]:
        for secret in service.get("secrets", []):
            yield Mount(self.secrets / secret, f"/run/secrets/{secret}", read_only=True)

    def _root_of_other(self, name: str) -> Path:
        """Return a root folder with the programs of this machine, read-only."""
        root = self.folder / "roots" / name
        for folder in ("proc", "dev", "tmp", "etc", "run", "var/log/nginx", "var/lib"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for file in COPIED:
            shutil.copy(Path("/etc", file), root / "etc")
        for link in ("bin", "sbin", "lib", "lib64", "var/run"):
            if Path("/", link).is_symlink() and not (root / link).is_symlink():
                (root / link).symlink_to(Path("/", link).readlink())
        return root

    def _variables_of_other(self) -> dict[str, str]:
        """Return what the image of PostgreSQL sets, for the PostgreSQL of this machine."""
        path = f"{installed_binaries()}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {"PATH": path, "PGDATA": "/var/lib/postgresql/18/docker"}

    def _user(self, name: str) -> str:
        entry = pwd.getpwnam(name)
        return f"{entry.pw_uid}:{entry.pw_gid}"
