"""Run a command in a container: separate namespaces, a read-only root, one user, few rights, only tmpfs and volumes.

It does with programs of util-linux and iproute2 what `docker run --read-only --cap-drop=ALL
--security-opt=no-new-privileges` does.
"""

import atexit
import functools
import itertools
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from devices.tests.support.services.server import children

DEVICES = ("null", "zero", "full", "random", "urandom")
NAMESPACES = ("--mount", "--pid", "--net", "--ipc", "--uts")
PREPARING = ("unshare", "sh", "chroot", "setpriv", "env")  # the programs that process 1 is before the command
_numbers = itertools.count(2)  # the last byte of the addresses of containers


@dataclass(frozen=True)
class Mount:
    """A file or folder of this machine in a container."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Specification:
    """A command and its container. The root folder gets the mount points."""

    root: Path
    command: Sequence[str]
    user: str  # UID:GID
    environment: Mapping[str, str]
    workdir: str = "/"
    mounts: Sequence[Mount] = ()
    tmpfs: Sequence[str] = ("/tmp",)  # noqa: S108  (in the container)
    capabilities: Sequence[str] = field(default=())  # such as "chown"

    def enter(self, command: Sequence[str]) -> list[str]:
        """Return the command that gives up rights, sets the environment and runs the command in the root folder."""
        uid, _colon, gid = self.user.partition(":")
        rights = ",".join(["-all", *(f"+{name}" for name in self.capabilities)])
        drop = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups", f"--bounding-set={rights}", "--inh-caps=-all"]
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        change = ["/usr/bin/setpriv", *drop, "--no-new-privs", "/usr/bin/env", "-i", "-C", self.workdir, *variables]
        return [*change, *command]

    def start(self) -> list[str]:
        """Return the command that makes the namespaces and mounts, and then runs the command as process 1."""
        root = str(self.root)
        memory = [(path, "size=256m,mode=1777") for path in self.tmpfs]
        memory += [("/dev", "mode=755"), ("/dev/shm", "size=64m,mode=1777")]  # noqa: S108  (in the container)
        steps = [["ip", "link", "set", "lo", "up"], ["mount", "--bind", root, root]]
        for mount in self.mounts:
            target = self.root / mount.target.lstrip("/")
            _create(target, is_folder=mount.source.is_dir())
            steps.append(["mount", "--bind", str(mount.source), str(target)])
            if mount.read_only:
                steps.append(["mount", "-o", "remount,bind,ro", str(target)])
        for path, options in memory:
            steps += [["mkdir", "-p", root + path], ["mount", "-t", "tmpfs", "-o", options, "tmpfs", root + path]]
        for name in DEVICES:
            steps += [["touch", f"{root}/dev/{name}"], ["mount", "--bind", f"/dev/{name}", f"{root}/dev/{name}"]]
        for name, target_of_link in (("fd", "fd"), ("stdout", "fd/1"), ("stderr", "fd/2")):
            steps.append(["ln", "-s", f"/proc/self/{target_of_link}", f"{root}/dev/{name}"])
        steps += [["mount", "-t", "proc", "proc", f"{root}/proc"], ["mount", "-o", "remount,bind,ro", root]]
        script = ["set -e", *map(shlex.join, steps), shlex.join(["exec", "chroot", root, *self.enter(self.command)])]
        return ["unshare", *NAMESPACES, "--fork", "/bin/sh", "-c", "\n".join(script)]


def _create(target: Path, *, is_folder: bool) -> None:
    """Create a mount point."""
    if is_folder:
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()


def run(specification: Specification, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command without a network until it ends. The text is its standard input."""
    return subprocess.run(
        specification.start(), input=text, capture_output=True, text=True, check=False, timeout=120, env=_outside()
    )


class Container:
    """A running container. Its process 1 is `pid` outside of it."""

    def __init__(self, specification: Specification, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.specification, self.process, self._log = specification, process, log
        self.pid = self._first_process()
        self.address = ""

    @property
    def log(self) -> str:
        return self._log.read_text()

    def _first_process(self) -> int:
        """Wait until the command has replaced the shell that prepares the container, and return its id."""
        for _ in range(600):
            found = children(self.process.pid)
            with suppress(OSError):
                if found and Path(f"/proc/{found[0]}/comm").read_text().strip() not in PREPARING:
                    return found[0]
            assert self.process.poll() is None, self.log
            time.sleep(0.05)
        raise AssertionError(f"The container did not start: {self.log}")

    def connect(self) -> None:
        """Give the container an address in a network that it shares with this machine and the other containers."""
        bridge, network = _bridge()
        number = next(_numbers)
        outside, address = f"{bridge}n{number}", f"{network}.{number}"
        inside = ["nsenter", f"--target={self.pid}", "--net", "ip"]
        for command in (
            ["ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", str(self.pid)],
            ["ip", "link", "set", outside, "master", bridge, "up"],
            [*inside, "address", "add", f"{address}/24", "dev", "eth0"],
            [*inside, "link", "set", "eth0", "up"],
        ):
            _call(*command, reason=self._log)
        self.address = address

    def execute(self, *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a further command in the container, as its user, until it ends."""
        inside = ["nsenter", f"--target={self.pid}", *NAMESPACES, "--root"]
        return subprocess.run(
            [*inside, *self.specification.enter(command)],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=_outside(),
        )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the stop signal to process 1, wait for its end and return its exit status."""
        os.kill(self.pid, number)
        return self.process.wait(40)


@contextmanager
def running(specification: Specification) -> Iterator[Container]:
    """Run the command in the background. The container ends with the context."""
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        process = subprocess.Popen(
            specification.start(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=_outside()
        )
        try:
            yield Container(specification, process, Path(log.name))
        finally:
            # The end of process 1 ends the others. --kill-child does not end a process that has changed its user.
            for pid in [*children(process.pid), process.pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait(30)


@functools.cache
def _bridge() -> tuple[str, str]:
    """Create a bridge, which lasts until this process ends; return its name and the start of its addresses."""
    name, network = f"img{os.getpid()}", f"10.213.{os.getpid() % 250}"
    _call("ip", "link", "add", name, "type", "bridge")
    atexit.register(_call, "ip", "link", "delete", name)
    _call("ip", "address", "add", f"{network}.1/24", "dev", name)
    _call("ip", "link", "set", name, "up")
    return name, network


def _call(*command: str, reason: Path | None = None) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=_outside())
    assert result.returncode == 0, f"{command}: {result.stderr}{reason.read_text() if reason else ''}"


def _outside() -> dict[str, str]:
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
