"""The PostgreSQL server of a drill: with the roles, the settings and the pgBackRest of a production server."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import psycopg

from devices.tests.support.drill import pages
from devices.tests.support.drill.machine import Machine
from devices.tests.support.services.faults import eventually, have_ended
from devices.tests.support.services.postgres import installed_binaries, other_user
from devices.tests.support.services.server import ROOT, children


class Postgres:
    """A cluster in a folder that its user can open."""

    def __init__(self, folder: Path, user: str, environment: Mapping[str, str]) -> None:
        binaries = installed_binaries()
        assert binaries, "install PostgreSQL"
        self.binaries, self.folder, self.data = binaries, folder, folder / "main"
        self.user = user if os.geteuid() == 0 else None
        self.environment = {**os.environ, **environment}

    def initialize(self) -> None:
        """Create an empty cluster, as the package of Debian does."""
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        options = f"-k {self.folder} -c listen_addresses=''"
        self._run("pg_ctl", "-D", self.data, "-l", self.folder / "log", "-t", "600", "-o", options, "-w", "start")

    def stop(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", self.data, "-m", "fast", "-t", "600", "-w", "stop")

    def destroy(self) -> None:
        """Kill all processes, and delete the data directory and the socket, which a lost machine does not have."""
        pid = int((self.data / "postmaster.pid").read_text().split()[0])
        processes = [pid, *children(pid)]
        for process in processes:
            with suppress(ProcessLookupError):  # a worker that has just ended
                os.kill(process, signal.SIGKILL)
        eventually(lambda: have_ended(processes))
        shutil.rmtree(self.data)
        for path in self.folder.glob(".s.PGSQL.*"):
            path.unlink()

    def url(self, role: str, database: str = "registry") -> str:
        return f"postgres://{role}@{quote(str(self.folder), safe='')}/{database}"

    def run(self, statement: str, database: str = "registry") -> list[tuple[object, ...]]:
        """Run a statement as the superuser."""
        with psycopg.connect(self.url("postgres", database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [self.binaries / program, *arguments]
        with (self.folder / "out").open("ab") as out:
            done = subprocess.run(
                command, check=False, user=self.user, cwd=self.folder, env=self.environment, stdout=out, stderr=out
            )
        log = self.folder / "log"
        assert done.returncode == 0, (command, log.read_text()[-2000:] if log.exists() else "")


@contextmanager
def postgres_server() -> Iterator[tuple[Postgres, Machine]]:
    """Yield an empty cluster that runs, and the machine on which the commands of the page run."""
    with TemporaryDirectory(prefix="registry-drill-", ignore_cleanup_errors=True) as name:
        folder, user = Path(name), other_user() if os.geteuid() == 0 else ""
        folder.chmod(0o755)
        environment = _configure(folder, user)
        server = Postgres(folder, user, environment)
        owner, side = server.url("registry_owner"), server.url("registry_owner", "registry_side")
        replaced = {
            "/var/lib/postgresql/15": str(folder),
            "/var/backups/registry": str(folder / "backups"),
            "/etc/registry-backup.pass": str(folder / "backup.pass"),
            "-o postgres -g postgres": f"-o {user}" if user else "",
            "$(date +%F)": "2026-11-28",
            "postgres://registry_owner:…/registry_side": side,
            "postgres://registry_owner:…": owner,
        }
        machine = Machine(folder, {**environment, "DATABASE_URL": server.url("registry_app")}, replaced, user)
        machine.services["postgresql"] = (server.start, server.stop)
        server.initialize()
        server.start()
        try:
            yield server, machine
        finally:
            if machine.registry:
                machine.registry.stop()
            server.stop()
            machine.run("gpgconf --kill all")


def _configure(folder: Path, user: str) -> dict[str, str]:
    """Do the steps at the top of deploy/pgbackrest.conf in this folder, and return the environment of the programs."""
    for name in ("backups", "repository", "log-of-pgbackrest", "locks", "etc", "gnupg"):
        (folder / name).mkdir()
    (folder / "gnupg").chmod(0o700)
    (folder / "backup.pass").write_text(os.urandom(24).hex())
    text = (ROOT / "deploy/pgbackrest.conf").read_text()
    config = folder / "etc/pgbackrest.conf"
    config.write_text(
        text.replace("/var/lib/pgbackrest", str(folder / "repository")).replace("/var/lib/postgresql/15", str(folder))
    )
    for command in pages.commands_of_comment("deploy/pgbackrest.conf", 3):
        if command.startswith("(umask"):
            (folder / "etc/conf.d").mkdir()
            here = command.replace("/etc/pgbackrest/conf.d", str(folder / "etc/conf.d"))
            subprocess.run(["bash", "-c", here], check=True)
    if user:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, user)
    return {
        "PGHOST": str(folder),
        "PGUSER": "postgres",
        "GNUPGHOME": str(folder / "gnupg"),
        "PGBACKREST_CONFIG": str(config),
        "PGBACKREST_CONFIG_INCLUDE_PATH": str(folder / "etc/conf.d"),
        "PGBACKREST_LOG_PATH": str(folder / "log-of-pgbackrest"),
        "PGBACKREST_LOCK_PATH": str(folder / "locks"),
        "PGBACKREST_PG1_SOCKET_PATH": str(folder),
        "PGBACKREST_PG1_USER": "postgres",
    }
