"""Run the registry with gunicorn."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[4]


def served_from(database_url: str) -> dict[str, str]:
    """Return the environment of a server on a free port with this database."""
    return {**os.environ, "PORT": str(unused_port()), "WEB_CONCURRENCY": "1", "DATABASE_URL": database_url}


def unused_port() -> int:
    """Return a port that is free on each address: a server on `::` or `0.0.0.0` listens on all of them."""
    options: Any = {"family": socket.AF_INET6, "dualstack_ipv6": True} if has_ipv6() else {}
    with socket.create_server(("", 0), **options) as probe:
        return int(probe.getsockname()[1])


def has_ipv6() -> bool:
    """Return whether this machine has the address ::1 and sockets for both versions of IP."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return socket.has_dualstack_ipv6()
    except OSError:
        return False


@contextmanager
def serving(
    environment: dict[str, str], host: str = "127.0.0.1", log: IO[str] | None = None, *options: str
) -> Iterator[int]:
    """Run gunicorn; yield its port as soon as it accepts connections on the address. Its stderr goes to `log`."""
    options = options or ("--log-level", "critical")
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", *options]
    process = subprocess.Popen(gunicorn, cwd=ROOT, env=environment, stderr=log)
    port = int(environment["PORT"])
    try:
        for _ in range(1200):  # one minute, for a busy machine
            with suppress(OSError), socket.create_connection((host, port)):
                break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(60)  # gunicorn gives its workers 30 seconds


def children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that is ending
            found += [int(child) for child in task.read_text().split()]
    return found


def with_inherited_socket(
    listener: socket.socket, environment: dict[str, str], folder: Path
) -> Callable[[], subprocess.Popen[bytes]]:
    """Return a function that starts gunicorn as systemd does: the socket is file descriptor 3."""
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "--log-level", "error"]
    launch = (
        f"import os; os.dup2({listener.fileno()}, 3); os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); "
        f"os.execv({sys.executable!r}, {gunicorn!r})"
    )

    def run() -> subprocess.Popen[bytes]:
        with (folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", launch],
                cwd=ROOT,
                env=environment,
                pass_fds=[listener.fileno()],
                stdout=log,
                stderr=log,
            )

    return run
