"""Three database machines with etcd, Patroni and PostgreSQL, configured by the files of deploy/cluster/."""

import json
import os
import shutil
import signal
import ssl
import subprocess
import sysconfig
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from devices.tests.support.services.faults import eventually
from devices.tests.support.services.postgres import installed_binaries
from devices.tests.support.services.server import ROOT
from devices.tests.support.services.site.certificates import certify, create_authority
from devices.tests.support.services.site.machines import Machine, Network

FILES = ROOT / "deploy" / "cluster"
ADDRESSES = ("10.0.0.11", "10.0.0.12", "10.0.0.13")  # those of the files
USER = "postgres"
PASSWORDS = {  # of the files, and those of the tests
    "REPLICATION-PASSWORD": "replication-geheim",
    "REWIND-PASSWORD": "rewind-geheim",
    "APP-PASSWORD": "app-geheim",
    "OWNER-PASSWORD": "owner-geheim",
    "REDIS-PASSWORD": "redis-geheim",
}
PATRONI = ROOT / ".venv-cluster"
HOME = (PATRONI / "bin" / "python").resolve().parents[1]  # of its Python
PATRONICTL = "from patroni.ctl import ctl; ctl()"
PACKAGES = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(PATRONI), "platbase": str(PATRONI)}))


def adapted(name: str, replacements: dict[str, str]) -> str:
    """Return the text of a file of deploy/cluster/ with other paths, addresses and passwords."""
    text = (FILES / name).read_text()
    for old, new in replacements.items():
        assert old in text, (name, old)
        text = text.replace(old, new)
    return text


def variables(text: str) -> dict[str, str]:
    """Return the variables of an environment file."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


class Node:
    """A machine with a member of etcd, Patroni and PostgreSQL."""

    def __init__(self, machine: Machine, folder: Path, authority: Path) -> None:
        self.machine, self.folder = machine, folder / machine.name
        self.folder.mkdir()
        self.run_as_user = mounted(folder)
        shutil.chown(self.folder, USER, USER)
        self.folder.chmod(0o755)
        certify(authority, self.folder, machine.address, USER)
        binaries = installed_binaries()
        assert binaries
        mine = {"db1": machine.name, ADDRESSES[0]: machine.address}
        text = adapted("etcd.env", {"/etc/etcd": str(self.folder), "/var/lib/etcd": f"{self.folder}/etcd"})
        self.etcd_environment = {"PATH": os.environ["PATH"], **_for_this_machine(variables(text), mine)}
        passwords = {name: PASSWORDS[name] for name in ("REPLICATION-PASSWORD", "REWIND-PASSWORD")}
        self.patroni_environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(folder / "packages"),
            "LD_LIBRARY_PATH": str(folder / "python" / "lib"),
            **_for_this_machine(variables(adapted("patroni.env", passwords)), mine),
        }
        self.configuration = self.folder / "patroni.yml"
        replacements = {
            "/etc/patroni": str(self.folder),
            "/var/lib/postgresql/15/registry": str(self.folder / "data"),
            "/usr/lib/postgresql/15/bin": str(binaries),
            "/run/postgresql": str(self.folder),
            "mode: automatic": "mode: off",  # a watchdog would restart this machine
        }
        self.configuration.write_text(adapted("patroni.yml", replacements))
        self.etcd: subprocess.Popen[bytes] | None = None
        self.patroni: subprocess.Popen[bytes] | None = None

    def start_etcd(self) -> None:
        if self.etcd:
            self.etcd.wait(30)
        log = self.folder / "etcd.log"
        self.etcd = self.machine.start([str(shutil.which("etcd"))], self.etcd_environment, log, USER)

    def start_patroni(self) -> None:
        if self.patroni:
            self.patroni.wait(30)
        command = [*self.run_as_user, "-m", "patroni", str(self.configuration)]
        self.patroni = self.machine.start(command, self.patroni_environment, self.folder / "patroni.log")

    def start(self) -> None:
        """Start what does not run."""
        if self.etcd is None or self.etcd.poll() is not None:
            self.start_etcd()
        if self.patroni is None or self.patroni.poll() is not None:
            self.start_patroni()

    def kill_database(self) -> None:
        """Kill Patroni and PostgreSQL, not etcd."""
        assert self.etcd
        self.machine.kill(besides=[self.etcd.pid])

    def kill_etcd(self) -> None:
        assert self.etcd
        self.etcd.kill()
        self.etcd.wait(30)

    def end(self) -> None:
        """End PostgreSQL so that it removes its shared memory. The machine is then removed."""
        self.machine.thaw()
        pid = self.folder / "data" / "postmaster.pid"
        if self.patroni:
            self.patroni.kill()
        if pid.exists():
            number = int(pid.read_text().split()[0])
            if number in self.machine.pids():
                os.kill(number, signal.SIGQUIT)
                eventually(lambda: number not in self.machine.pids(), 30)

    def destroy(self) -> None:
        """Kill all processes and delete all data, as the loss of the machine does."""
        self.machine.kill()
        for name in ("data", "etcd"):
            shutil.rmtree(self.folder / name)

    def etcdctl(self, *arguments: str) -> str:
        """Run etcdctl with this machine's member. Return what it prints."""
        files = [f"--cacert={self.folder}/ca.pem", f"--cert={self.folder}/node.pem", f"--key={self.folder}/node.key"]
        endpoint = f"--endpoints=https://{self.machine.address}:2379"
        environment = {"PATH": os.environ["PATH"], "ETCDCTL_API": "3"}
        with self.machine.entered():
            done = subprocess.run(
                ["etcdctl", endpoint, *files, *arguments], env=environment, capture_output=True, text=True, check=False
            )
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def control(self, *arguments: str) -> str:
        """Run patronictl on this machine. Return what it prints."""
        command = [*self.run_as_user, "-c", PATRONICTL, "-c", str(self.configuration), *arguments]
        with self.machine.entered():
            done = subprocess.run(
                command, env=self.patroni_environment, capture_output=True, text=True, check=False, timeout=120
            )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def psql(self, database: str, *arguments: str, stdin: str | None = None) -> str:
        """Run psql as the superuser of the database, over the Unix socket. Return what it prints."""
        command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-d", database]
        with self.machine.entered():
            done = subprocess.run(
                [*command, *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=60, user=USER
            )
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout


def _for_this_machine(values: dict[str, str], mine: dict[str, str]) -> dict[str, str]:
    """Replace the name and the address of the first machine, but not in the list of all members."""
    for old, new in mine.items():
        values = {name: value if "," in value else value.replace(old, new) for name, value in values.items()}
    return values


def mounted(folder: Path) -> list[str]:
    """Return the words before a command of Patroni, which then runs as user postgres.

    That user may be unable to read the checkout or the folder of Python. So both are mounted in folders that it can
    read: `packages` and `python`. No other process sees these mounts, and they end with the command.
    """
    script = 'mount --bind "$1" "$2" && mount --bind "$3" "$4" && shift 4 && exec setpriv "$@"'
    mounts = [str(HOME), str(folder / "python"), str(PACKAGES), str(folder / "packages")]
    identity = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    python = folder / "python" / "bin" / (PATRONI / "bin" / "python").resolve().name
    return ["unshare", "--mount", "sh", "-c", script, "sh", *mounts, *identity, str(python)]


class Databases:
    """The cluster of the three nodes."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.network, self.folder = network, folder
        self.standby_role = "quorum_standby"
        self.authority = folder / "authority"
        self.authority.mkdir()
        create_authority(self.authority)
        for name in ("packages", "python"):
            (folder / name).mkdir()
        machines = [network.add(f"db{number}", address) for number, address in enumerate(ADDRESSES, 1)]
        self.nodes = [Node(machine, folder, self.authority) for machine in machines]
        self.context = ssl.create_default_context(cafile=str(self.authority / "ca.pem"))

    def start(self) -> None:
        """Start all nodes, the first one as the leader, and wait until both standbys replicate."""
        for node in self.nodes:
            node.start_etcd()
        self.nodes[0].start_patroni()
        eventually(lambda: self.leader() is self.nodes[0])
        for node in self.nodes[1:]:
            node.start_patroni()
        self.wait_until_complete()

    def members(self) -> list[dict[str, Any]]:
        """Return the members as the first node that responds knows them, from Patroni's REST API."""
        for node in self.nodes:
            request = Request(f"https://{node.machine.address}:8008/cluster")
            try:
                with urlopen(request, timeout=2, context=self.context) as response:
                    found: list[dict[str, Any]] = json.load(response)["members"]
            except (HTTPError, URLError, OSError):
                continue
            if found:
                return found
        return []

    def metrics(self) -> list[str]:
        """Return what each Patroni returns to Prometheus."""
        addresses = [f"https://{node.machine.address}:8008/metrics" for node in self.nodes]
        return [urlopen(address, timeout=10, context=self.context).read().decode() for address in addresses]

    def must_lead(self) -> Node:
        """Return the node that accepts writes."""
        leader = eventually(self.leader)
        assert isinstance(leader, Node)
        return leader

    def leader(self) -> Node | None:
        """Return the node that accepts writes, or None."""
        for node in self.nodes:
            try:
                address = f"https://{node.machine.address}:8008/primary"
                with urlopen(address, timeout=2, context=self.context) as response:
                    if response.status == 200:
                        return node
            except (HTTPError, URLError, OSError):
                continue
        return None

    def others(self, node: Node) -> list[Node]:
        return [other for other in self.nodes if other is not node]

    def is_complete(self) -> bool:
        states = sorted((member["role"], member["state"]) for member in self.members())
        return states == [("leader", "running"), *[(self.standby_role, "streaming")] * 2]

    def wait_until_complete(self) -> None:
        """Wait until there is a leader, and both standbys replicate and can replace it."""
        eventually(self.is_complete, 300)  # a copy of the database takes a while on a busy machine

    def configure(self, **options: str) -> None:
        """Change the configuration of the cluster, and wait until the leader uses it."""
        words = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
        self.must_lead().control("edit-config", "--force", "--quiet", *words)
        self.standby_role = "replica" if options.get("synchronous_mode") == "off" else "quorum_standby"
        self.wait_until_complete()

    def replace(self, node: Node) -> None:
        """Replace a lost machine with an empty one, as docs/operations/high-availability.md says."""
        other, peer = self.others(node)[0], f"https://{node.machine.address}:2380"
        [member] = [line.split(",")[0] for line in other.etcdctl("member", "list").splitlines() if peer in line]
        other.etcdctl("member", "remove", member)
        other.etcdctl("member", "add", node.machine.name, f"--peer-urls={peer}")
        node.etcd_environment["ETCD_INITIAL_CLUSTER_STATE"] = "existing"
        node.start()

    def restore(self) -> None:
        """End the fault on all machines, and wait until the cluster is complete again."""
        self.network.heal()
        for node in self.nodes:
            node.machine.thaw()
            node.start()
        self.wait_until_complete()

    def end(self) -> None:
        for node in self.nodes:
            node.end()
