"""Two application machines with the registry, behind nginx, and Redis, configured by the files of deploy/cluster/."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from functools import partial
from pathlib import Path

from devices.tests.support.services.faults import Client, eventually, have_ended
from devices.tests.support.services.server import ROOT, children, with_inherited_socket
from devices.tests.support.services.site.databases import PASSWORDS, Databases, adapted, variables
from devices.tests.support.services.site.machines import Machine

ADDRESSES = ("10.0.0.21", "10.0.0.22")  # those of the files
PROXY = "10.0.0.31"
ROLES = ROOT / "deploy" / "postgresql-roles.sql"


def settings(authority: Path) -> dict[str, str]:
    """Return the settings of registry.env, with those of all tests for what it does not set."""
    passwords = {name: PASSWORDS[name] for name in ("APP-PASSWORD", "REDIS-PASSWORD")}
    text = adapted("registry.env", {**passwords, "/etc/registry/ca.pem": str(authority / "ca.pem")})
    others = {"WEB_CONCURRENCY": "2", "PORT": "8000", "API_RATE": "1000000/min"}
    return {**os.environ, **others, **variables(text)}


class Application(Client):
    """A machine with a registry, whose port systemd would hold; here the tests do."""

    def __init__(self, machine: Machine, environment: dict[str, str], folder: Path, key: str = "") -> None:
        super().__init__({**environment, "HOST": machine.address}, f"{machine.address}:8000", key)
        self.machine, self.folder = machine, folder / machine.name
        self.folder.mkdir()
        self.listener: socket.socket | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def manage(self, *arguments: str, **environment: str) -> str:
        with self.machine.entered():
            return super().manage(*arguments, **environment)

    def start(self) -> None:
        """Open the port if it is not open, start the registry, and wait until it serves."""
        with self.machine.entered():
            if self.listener is None:
                self.listener = socket.create_server((self.machine.address, 8000), backlog=512)
            self.process = with_inherited_socket(self.listener, self.environment, self.folder)()
        eventually(self.is_up)

    def stop(self) -> None:
        """End it as `systemctl stop registry` does. The port stays open, and connections wait in its queue."""
        assert self.process
        self.process.terminate()
        assert self.process.wait(60) == 0

    def reload(self) -> None:
        """As `systemctl reload registry`, for a new version: new workers take over."""
        assert self.process
        before = children(self.process.pid)
        self.process.send_signal(signal.SIGHUP)
        eventually(partial(have_ended, before))

    def kill(self) -> None:
        """End all processes and close the port, as a failure of the machine does."""
        if self.listener:
            self.listener.close()
            self.listener = None
        self.machine.kill()
        if self.process:
            self.process.wait(30)


class Redis:
    """Redis on the machine of nginx."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        text = adapted("redis.conf", {"REDIS-PASSWORD": PASSWORDS["REDIS-PASSWORD"], "/etc/redis": str(folder)})
        (folder / "redis.conf").write_text(text)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in the network of this thread, and wait until it listens."""
        with (self.folder / "redis.log").open("ab") as log:
            command = [str(shutil.which("redis-server")), str(self.folder / "redis.conf")]
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        eventually(self._listens)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((PROXY, 6379)) == 0

    def kill(self) -> None:
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)
            self.process.wait(30)


class Entrance(Client):
    """Clients of nginx. Commands run on an application machine that works."""

    def __init__(self, applications: list[Application], port: int, key: str) -> None:
        super().__init__(applications[0].environment, f"127.0.0.1:{port}", key)
        self.applications = applications

    def manage(self, *arguments: str, **environment: str) -> str:
        working = next(application for application in self.applications if application.listener)
        return working.manage(*arguments, **environment)


def create_database(databases: Databases, application: Application) -> None:
    """Create the database, its roles and tables, as docs/operations/install.md says."""
    leader = databases.must_lead()
    leader.psql("postgres", "-c", "CREATE DATABASE registry ENCODING UTF8 TEMPLATE template0 LOCALE 'C.UTF-8'")
    leader.psql("registry", "-f", "-", stdin=ROLES.read_text())
    for role in ("APP", "OWNER"):
        password = PASSWORDS[f"{role}-PASSWORD"]
        leader.psql("registry", "-c", f"ALTER ROLE registry_{role.lower()} PASSWORD '{password}'")
    url = application.environment["DATABASE_URL"]
    owner = url.replace(f"registry_app:{PASSWORDS['APP-PASSWORD']}", f"registry_owner:{PASSWORDS['OWNER-PASSWORD']}")
    assert owner != url
    application.manage("migrate", "-v0", DATABASE_URL=owner)
    leader.psql("registry", "-f", "-", stdin=ROLES.read_text())
