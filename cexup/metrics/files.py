"""The folder in which the workers count. Any worker can read the counts of all workers there.

Each worker has a slot: a number, and the lock of a file. prometheus_client writes the counts of the worker to files
with this number. The lock ends with the process, even if it is killed. The next worker takes the slot and continues its
counts. So a counter never decreases, and the number of files is the largest number of workers at the same time.

This module imports only the standard library, because gunicorn's master has not loaded Django.
"""

import fcntl
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

GAUGES = "gauge_livesum"
KINDS = ("counter", "histogram", GAUGES)  # prometheus_client writes one file of each kind
FILE_SIZE = 256 * 1024  # bytes, more than the largest number of series needs


def folder(port: int) -> Path:
    """Return the folder of the registry that serves its metrics on this port. TMPDIR has an effect."""
    return Path(tempfile.gettempdir()) / f"registry-metrics-{os.geteuid()}-{port}"


def begin(host: str, port: int, *, is_upgrade: bool) -> None:
    """Prepare the folder when gunicorn's master starts.

    The counts of an earlier start are removed. With SIGUSR2 (`is_upgrade`) they are kept: the first master still runs.

    Raises:
        ValueError: another process uses the port, or the folder cannot be used.
    """
    if not port:
        return
    place = folder(port)
    try:
        create(place)
        if is_upgrade:
            return
        with socket.create_server((host.strip("[]"), port), family=family_of(host)):  # without SO_REUSEPORT
            for path in [*place.glob("*.db"), *place.glob("slot-*")]:
                path.unlink()
    except OSError as error:
        raise ValueError(
            f"METRICS_PORT: {host}:{port} or {place} cannot be used ({os.strerror(error.errno or 0)})."
        ) from error


def create(place: Path) -> None:
    """Create the folder if it is missing.

    Raises:
        PermissionError: another user owns it, or can write to it. Each user can create a folder in /tmp.
    """
    with suppress(FileExistsError):
        place.mkdir(mode=0o700)
    status = place.lstat()
    is_private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
    if not is_private:
        raise PermissionError(1, "The folder is not private")


def take_slot(place: Path) -> int:
    """Take a free slot for the rest of this process, and return its number.

    The disk space of its files is allocated now. Otherwise a full disk would end the worker: a write to mapped memory
    that has no block on the disk sends SIGBUS.

    Raises:
        OSError: the folder or its files cannot be used.
    """
    create(place)
    for number in count():
        descriptor = os.open(place / f"slot-{number}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b"%d" % os.getpid())
        for kind in KINDS:
            _allocate(place / f"{kind}_{number}.db")
        return number  # the descriptor stays open
    raise AssertionError("count() does not end")


def _allocate(path: Path) -> None:
    """Create a file with allocated blocks. It appears under its name only when it is complete."""
    if path.exists():
        return
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, FILE_SIZE)
    finally:
        os.close(descriptor)
    new.rename(path)


def workers(place: Path) -> dict[int, int]:
    """Return the process ids of the running workers by their slot."""
    found = {}
    for path in place.glob("slot-*"):
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:  # its worker runs
                found[int(path.name.removeprefix("slot-"))] = int(file.read() or 0)
    return found


def counted(place: Path) -> Iterator[str]:
    """Yield the files with counts: the counters of all workers, but the gauges of running workers only."""
    running = workers(place)
    for path in place.glob("*.db"):
        kind, _, number = path.stem.rpartition("_")
        if kind != GAUGES or int(number) in running:
            yield str(path)


def family_of(host: str) -> socket.AddressFamily:
    """Return the address family of a host name or address. An IPv6 address is in brackets."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET
