"""The whole site: three database machines, two application machines, nginx and Redis."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from devices.tests.support.factories import device_payload
from devices.tests.support.services.faults import Client, eventually
from devices.tests.support.services.nginx import NGINX, nginx, reload_upstream
from devices.tests.support.services.postgres import installed_binaries
from devices.tests.support.services.site.applications import (
    ADDRESSES,
    PROXY,
    Application,
    Entrance,
    Redis,
    create_database,
    settings,
)
from devices.tests.support.services.site.certificates import certify
from devices.tests.support.services.site.databases import PATRONI, Databases, adapted
from devices.tests.support.services.site.load import FULL, Load
from devices.tests.support.services.site.machines import PATH, Network

STABLE = 300  # devices of a hospital that no fault changes


def missing() -> str:
    """Return why the site cannot run on this machine, or an empty string."""
    packages = {"etcd": "etcd-server", "ip": "iproute2", "iptables": "iptables", "redis-server": "redis-server"}
    absent = [package for program, package in packages.items() if not shutil.which(program, path=PATH)]
    absent += [] if installed_binaries() else ["postgresql"]
    absent += [] if NGINX else ["nginx"]
    absent += ["etcd-client"] if FULL and not shutil.which("etcdctl") else []
    if absent:
        return f"the tests of the cluster need: apt-get install {' '.join(absent)}"
    if not (PATRONI / "bin" / "patroni").exists():
        return "the tests of the cluster need Patroni: make test-cluster installs it"
    if os.geteuid() != 0:
        return "only root can create network namespaces"
    name = f"registry-{uuid.uuid4().hex[:8]}"
    link = f"ip -n {name} link add probe0 type veth peer name probe1"
    steps = f"ip netns add {name} && {link} && ip netns exec {name} iptables -F"
    probe = ["sh", "-c", f"{steps}; status=$?; ip netns del {name}; exit $status"]
    done = subprocess.run(probe, env={"PATH": PATH}, capture_output=True, text=True, check=False)
    if done.returncode == 0 and not subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        return ""
    return f"this machine does not allow network namespaces: {done.stderr.strip()}"


class Site:
    def __init__(self, network: Network, folder: Path) -> None:
        """Prepare the files. The calling thread uses the network of the router."""
        self.network, self.folder = network, folder
        self.databases = Databases(network, folder)
        environment = settings(self.databases.authority)
        machines = [network.add(f"app{number}", address) for number, address in enumerate(ADDRESSES, 1)]
        self.applications = [Application(machine, environment, folder) for machine in machines]
        (folder / "redis").mkdir()
        certify(self.databases.authority, folder / "redis", PROXY, "root")
        self.redis = Redis(folder / "redis")
        (folder / "nginx").mkdir()
        self.faults = 0

    def start(self, stack: ExitStack) -> None:
        self.databases.start()
        self.redis.start()
        first = self.applications[0]
        create_database(self.databases, first)
        key = first.manage("create_api_key", "tests").strip()
        for application in self.applications:
            application.key = key
            application.start()
        self.ports = stack.enter_context(nginx(self.folder / "nginx", adapted("nginx-upstream.conf", {})))
        self.entrance = Entrance(self.applications, self.ports.plain, key)
        posted = [device_payload(9 * 10**11 + i, device_holder="RS Stable") for i in range(STABLE)]
        response = self.entrance.send("POST", "/api/devices", posted)
        assert response.status == 201, response
        self.stable = sorted(row["id"] for row in response.body["data"])
        reading = first.manage("create_api_key", "reader", "--read-only", "--hospital", "RS Stable").strip()
        self.reader = Client(first.environment, self.entrance.address, reading)

    def take_out(self, application: Application) -> None:
        """Let nginx use the other machine only, as the operator does before a planned stop."""
        address = application.machine.address
        block = adapted("nginx-upstream.conf", {f"{address}:8000 max_conns=500": f"{address}:8000 max_conns=500 down"})
        reload_upstream(self.folder / "nginx", block)

    def put_back(self) -> None:
        """Let nginx use both machines."""
        reload_upstream(self.folder / "nginx", adapted("nginx-upstream.conf", {}))

    def restore(self) -> None:
        """End the fault on all machines, and wait until everything works again."""
        self.databases.restore()
        for application in self.applications:
            application.machine.thaw()
            if application.listener is None:
                application.start()
        eventually(lambda: all(application.is_ready() for application in self.applications))

    @contextmanager
    def load(self, fault: str) -> Iterator[Load]:
        """Let clients work during the block, which injects the fault and restores the site. Print the report."""
        self.faults += 1
        folder = self.folder / f"clients{self.faults}"
        folder.mkdir()
        load = Load(fault, self.entrance, self.reader, self.stable, folder)
        with load.running():
            try:
                yield load
            finally:
                self.restore()
        print(load.evaluate())  # noqa: T201

    def end(self) -> None:
        for application in self.applications:
            application.kill()
        self.redis.kill()
        self.databases.end()


@contextmanager
def running_site() -> Iterator[Site]:
    """Start the site; the calling thread uses its network until it ends."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="registry-", ignore_cleanup_errors=True)))
        folder.chmod(0o755)
        network = Network(PROXY)
        stack.callback(network.remove)
        stack.enter_context(network.router.entered())
        site = Site(network, folder)
        stack.callback(site.end)
        site.start(stack)
        yield site
