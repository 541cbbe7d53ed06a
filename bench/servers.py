"""Start and stop the measured servers on 127.0.0.1: PostgreSQL, the peers and the registry."""

import contextlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devices.tests.support.services.postgres import installed_binaries

ROOT = Path(__file__).resolve().parents[1]
PEERS = Path(__file__).parent / "peers"
WORKERS = "2"
PEER_KEY = "bench-key"
ENVIRONMENT = {
    "ENV_FILE": os.devnull,
    "SECRET_KEY": "bench-only-" + "x" * 40,
    "HTTPS": "0",
    "LOG_LEVEL": "ERROR",
}
UVICORN = ["-k", "uvicorn_worker.UvicornWorker"]
PEER_APPS = {
    "drf": ["django_site:application"],
    "ninja": ["django_site:application"],
    "fastapi_sqlalchemy": [*UVICORN, "fastapi_sqlalchemy:app"],
    "fastapi_raw": [*UVICORN, "fastapi_raw:app"],
}


@dataclass(frozen=True)
class Server:
    """A running server with two API keys: one for all hospitals, and one for a single hospital."""

    base: str
    key: str
    hospital_key: str = ""
    pid: int = 0
    environment: dict[str, str] | None = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def postgres(*settings: str) -> Iterator[str]:
    """Yield the URL of a new PostgreSQL with connections for all peers, and with its default settings.

    settings: further settings, such as shared_buffers=2GB. They have no effect on the server of BENCH_POSTGRES_URL.
    """
    if url := os.environ.get("BENCH_POSTGRES_URL"):
        yield url.rstrip("/")
        return
    binaries = installed_binaries()
    if binaries is None:
        raise SystemExit(
            "Install PostgreSQL 15 or later, or set BENCH_POSTGRES_URL to a server that the benchmark can fill."
        )
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        shutil.chown(folder, user)
        data, port = Path(folder, "data"), free_port()

        def run(*command: str | Path) -> None:
            subprocess.run(command, check=True, user=user if os.geteuid() == 0 else None, cwd=folder, stdout=-3)

        run(binaries / "initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c max_connections=300"
        options += "".join(f" -c {setting}" for setting in settings)
        run(binaries / "pg_ctl", "-D", data, "-l", Path(folder, "log"), "-o", options, "-w", "start")
        try:
            yield f"postgresql://bench:bench@127.0.0.1:{port}"
        finally:
            run(binaries / "pg_ctl", "-D", data, "-m", "fast", "stop")


def psql(url: str, *arguments: str | Path) -> None:
    subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", url, *arguments], check=True)


def postmaster(server: str) -> int:
    """Return the process ID of the PostgreSQL server, which must run on this machine."""
    query = ["psql", "-qAt", f"{server}/postgres", "-c", "SELECT pg_read_file('postmaster.pid')"]
    pid = int(subprocess.run(query, check=True, capture_output=True, text=True).stdout.split()[0])
    name = Path(f"/proc/{pid}/comm")
    if not name.exists() or "postgres" not in name.read_text():
        raise SystemExit("The CPU time of PostgreSQL can be read only if it runs on this machine.")
    return pid


def peers_python() -> str:
    """Return the Python of the peers' virtual environment, which is created if it is missing."""
    environment = ROOT / ".venv-peers"
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", PEERS / "requirements.txt"], check=True)
    return str(python)


@contextlib.contextmanager
def peer(name: str, server: str, devices: int) -> Iterator[Server]:
    """Serve a peer with this number of devices, in a database that is created if it is missing."""
    url = _database(server, f"peers_{devices}")
    if url:
        psql(url, "-f", PEERS / "schema.sql")
        psql(url, "-v", f"n={devices}", "-f", PEERS / "load.sql")
        psql(url, "-c", "VACUUM ANALYZE", "-c", "CHECKPOINT")
    environment = {**os.environ, "URL": f"{server}/peers_{devices}", "PEER": f"peer_{name}"}
    port = free_port()
    gunicorn = [peers_python(), "-m", "gunicorn", "-w", WORKERS, "-b", f"127.0.0.1:{port}", "--log-level", "critical"]
    with _running([*gunicorn, "--no-control-socket", *PEER_APPS[name]], PEERS, environment) as pid:
        yield _ready(Server(f"http://127.0.0.1:{port}", PEER_KEY, pid=pid))


def seed(checkout: Path, environment: dict[str, str], devices: int) -> None:
    """Register devices of 400 hospitals with the code of the checkout."""
    manage(checkout, environment, "seed_devices", str(devices))


def manage(checkout: Path, environment: dict[str, str], *command: str) -> str:
    """Run a command of the checkout, and return its output."""
    ran = subprocess.run(
        [sys.executable, "manage.py", *command], cwd=checkout, env=environment, capture_output=True, text=True
    )
    if ran.returncode:
        raise SystemExit(f"{command[0]} failed: {ran.stderr}")
    return ran.stdout.strip()


@contextlib.contextmanager
def registry(
    server: str,
    devices: int,
    checkout: Path = ROOT,
    name: str = "registry",
    fill: Callable[[Path, dict[str, str], int], None] = seed,
) -> Iterator[Server]:
    """Serve a checkout of the registry with this number of devices, on PostgreSQL or an SQLite file.

    `fill` fills a separate database. The same number of devices gives the same data.
    """
    port = str(free_port())
    environment = {
        **os.environ,
        **ENVIRONMENT,
        "PORT": port,
        "WEB_CONCURRENCY": WORKERS,
        "DATABASE_URL": server if server.startswith("sqlite") else f"{server}/{name}_{devices}",
    }
    is_sqlite = server.startswith("sqlite")
    new = is_sqlite or _database(server, f"{name}_{devices}")
    manage(checkout, environment, "migrate", "-v0")
    if new:
        fill(checkout, environment, devices)
    if not is_sqlite:  # so that PostgreSQL does not do it during a measurement
        psql(environment["DATABASE_URL"], "-c", "VACUUM ANALYZE", "-c", "CHECKPOINT")
    issue = ["create_api_key", "bench", "--rate", "100000000/min"]
    key = manage(checkout, environment, *issue)
    hospital_key = manage(checkout, environment, *issue, "--hospital", "RS Contoh 001")
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "--log-level", "critical"]
    with _running(gunicorn, checkout, environment) as pid:
        yield _ready(Server(f"http://127.0.0.1:{port}", key, hospital_key, pid, environment))


def device(server: Server, pk: int) -> dict[str, str]:
    request = urllib.request.Request(f"{server.base}/api/device/{pk}", headers={"x-api-key": server.key})
    body: Any = json.load(urllib.request.urlopen(request))
    found: dict[str, str] = body.get("data", body)  # only the registry has an envelope
    return found


def workers_memory(server: Server) -> list[int]:
    """Return the proportional set size of each worker process, in MB."""
    return [round(size) for size in memory_by_worker(server).values()]


def memory_by_worker(server: Server) -> dict[int, float]:
    """Return the same by process id. A worker that is ending is omitted."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    sizes = {}
    for child in children:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            rollup = Path(f"/proc/{child}/smaps_rollup").read_text()
            [size] = [line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:")]
            sizes[int(child)] = int(size) / 1024
    return sizes


def _database(server: str, name: str) -> str | None:
    """Create the database and return its URL. Return None if it exists."""
    query = ["psql", "-qAt", f"{server}/postgres", "-c"]
    exists = f"SELECT 1 FROM pg_database WHERE datname = '{name}'"  # noqa: S608
    if subprocess.run([*query, exists], check=True, capture_output=True).stdout:
        return None
    subprocess.run([*query, f"CREATE DATABASE {name}"], check=True)
    return f"{server}/{name}"


@contextlib.contextmanager
def _running(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[int]:
    process = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)
    try:
        yield process.pid
    finally:
        process.terminate()  # only the master: it stops its workers, also one that is starting
        process.wait(40)


def _ready(server: Server) -> Server:
    """Wait until the server responds."""
    request = urllib.request.Request(f"{server.base}/api/devices?size=1", headers={"x-api-key": server.key})
    for _ in range(200):
        try:
            urllib.request.urlopen(request, timeout=5).read()
        except OSError:
            time.sleep(0.1)
        else:
            return server
    raise SystemExit(f"{server.base} does not respond.")
