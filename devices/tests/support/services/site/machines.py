"""Machines of a cluster: network namespaces, which a router connects. The network of this machine is not used."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

CLONE_NEWNET = 0x40000000  # source: linux/sched.h; os.setns needs Python 3.12
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
HERE = Path("/proc/thread-self/ns/net")


def run(*command: object) -> str:
    """Run a command that must succeed, in the namespace of this thread. Return what it prints."""
    words = [str(word) for word in command]
    program = shutil.which(words[0], path=PATH)
    assert program, f"{words[0]} is not installed"
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


class Machine:
    """A network namespace with one address."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        self.namespace = f"registry-{uuid.uuid4().hex[:8]}"
        self.started: list[subprocess.Popen[bytes]] = []
        run("ip", "netns", "add", self.namespace)
        run("ip", "-n", self.namespace, "link", "set", "lo", "up")

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Use the network of the machine: in this thread, and in the threads and processes that it starts."""
        with HERE.open() as before, Path("/run/netns", self.namespace).open() as here:
            _use(here.fileno())
            try:
                yield
            finally:
                _use(before.fileno())

    def start(
        self, command: list[str], environment: dict[str, str], log: Path, user: str | None = None
    ) -> "subprocess.Popen[bytes]":
        with self.entered(), log.open("ab") as output:
            process = subprocess.Popen(
                command,
                env=environment,
                cwd=log.parent,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def pids(self, *, besides: Iterable[int] = ()) -> list[int]:
        """Return the processes of the machine, but not those of the tests in it."""
        here = Path("/run/netns", self.namespace).stat().st_ino
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it is ending, or belongs to another container
                if (folder / "ns" / "net").stat().st_ino == here:
                    found.append(int(folder.name))
        return [pid for pid in found if pid not in {os.getpid(), *besides}]

    def signal(self, number: signal.Signals, *, besides: Iterable[int] = ()) -> None:
        for pid in self.pids(besides=besides):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self, *, besides: Iterable[int] = ()) -> None:
        """Kill all processes, as a power failure does. Repeat it for those that were started in between."""
        end = time.monotonic() + 30
        while self.pids(besides=besides):
            assert time.monotonic() < end, f"processes of {self.name} do not end"
            self.signal(signal.SIGKILL, besides=besides)
            time.sleep(0.05)

    def freeze(self) -> None:
        """Stop all processes. The kernel still acknowledges the packets that arrive."""
        for _ in range(3):  # also those that were started in between
            self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def remove(self) -> None:
        self.kill()
        for process in self.started:
            process.wait(30)
        run("ip", "netns", "del", self.namespace)


def _use(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "The namespace cannot be used.")


class Network:
    """Machines, and the router between them. Clients, nginx and Redis run on the router."""

    def __init__(self, router_address: str) -> None:
        self.router = Machine("router", router_address)
        self.machines: list[Machine] = []
        with self.router.entered():
            run("ip", "address", "add", f"{router_address}/32", "dev", "lo")
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def add(self, name: str, address: str) -> Machine:
        """Connect a new machine to the router."""
        machine, router = Machine(name, address), self.router.namespace
        self.machines.append(machine)
        run("ip", "-n", router, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", machine.namespace)
        run("ip", "-n", router, "link", "set", name, "up")
        run("ip", "-n", router, "route", "add", f"{address}/32", "dev", name, "src", self.router.address)
        run("ip", "-n", machine.namespace, "link", "set", "eth0", "up")
        run("ip", "-n", machine.namespace, "address", "add", f"{address}/32", "dev", "eth0")
        run("ip", "-n", machine.namespace, "route", "add", f"{self.router.address}/32", "dev", "eth0", "src", address)
        run("ip", "-n", machine.namespace, "route", "add", "default", "via", self.router.address, "src", address)
        return machine

    def separate(self, machine: Machine, others: Iterable[Machine]) -> None:
        """Drop all packets between the machine and the others. Clients on further machines still reach it."""
        for other in others:
            for source, target in ((machine, other), (other, machine)):
                self._iptables("-A", "FORWARD", "-s", source.address, "-d", target.address, "-j", "DROP")

    def unplug(self, machine: Machine) -> None:
        """Drop all packets from and to the machine. Neither side notices it."""
        for direction in ("-s", "-d"):
            for chain in ("FORWARD", "INPUT" if direction == "-s" else "OUTPUT"):
                self._iptables("-A", chain, direction, machine.address, "-j", "DROP")

    def heal(self) -> None:
        """Deliver all packets again."""
        self._iptables("-F")

    def _iptables(self, *arguments: str) -> None:
        with self.router.entered():
            run("iptables", "-w", "10", *arguments)

    def remove(self) -> None:
        """Kill all processes of the machines and delete the namespaces."""
        for machine in [*self.machines, self.router]:
            machine.remove()
