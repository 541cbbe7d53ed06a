"""Two application machines behind nginx: one is replaced, or fails, while clients read and write."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devices.tests.support.services.faults import (
    Client,
    Readers,
    Registry,
    Writers,
    eventually,
    new_database,
    served,
    times,
)
from devices.tests.support.services.nginx import NGINX, nginx, reload_upstream

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@dataclass
class Machines:
    """Two registries with one database, and an nginx in front of them."""

    machines: list[Registry]
    clients: Client  # of nginx
    folder: Path  # of nginx

    def drain(self, machine: Registry) -> None:
        """Remove a machine from the upstream, and wait for the requests that nginx has sent to it."""
        self._configure(f"127.0.0.1:{machine.port} max_conns=500;", f"127.0.0.1:{machine.port} down;")

    def add(self, machine: Registry) -> None:
        self._configure(f"127.0.0.1:{machine.port} down;", f"127.0.0.1:{machine.port} max_conns=500;")

    def wait_for_requests(self) -> None:
        """Wait until nginx sends requests to all machines. It avoids one that has failed for 10 seconds."""
        for machine in self.machines:
            before = responses_of(machine)
            eventually(lambda: responses_of(machine) > before)  # noqa: B023  (called in this turn only)

    def _configure(self, old: str, new: str) -> None:
        text = (self.folder / "registry" / "nginx.conf").read_text()
        assert old in text
        reload_upstream(self.folder, text.replace(old, new))


def responses_of(machine: Registry) -> int:
    """Return the number of responses in the access log of a machine."""
    return machine.log.read_bytes().count(b"cexup.access_log")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    folder = tmp_path_factory.mktemp("machines")
    proxy = tmp_path_factory.mktemp("nginx")
    for name in ("first", "second"):
        (folder / name).mkdir()
    with (
        new_database(folder) as url,
        served(url, folder / "first", ACCESS_LOG="true") as first,
        served(url, folder / "second", first.key, ACCESS_LOG="true") as second,
        nginx(proxy, first.port, places=f"max_conns=500; server 127.0.0.1:{second.port} max_conns=500") as ports,
    ):
        clients = Client(first.environment, f"127.0.0.1:{ports.plain}", first.key)
        yield Machines([first, second], clients, proxy)


def test_machines_are_replaced_without_a_failed_request(cluster: Machines) -> None:
    with Writers(cluster.clients) as writers, Readers(cluster.clients) as readers:
        for _ in range(times(5, 1)):
            for machine in cluster.machines[: times(2, 1)]:
                writers.wait_for(5)
                cluster.drain(machine)
                machine.stop()
                writers.wait_for(5)
                machine.start()
                cluster.add(machine)
        writers.wait_for(5)
    writers.check()
    assert writers.seen == {}
    assert (readers.failures, readers.refused) == ([], 0)


def test_killed_machine_fails_no_read_and_loses_no_write(cluster: Machines) -> None:
    """nginx cannot send a request to the other machine if it has already sent the headers of a response."""
    with Writers(cluster.clients) as writers, Readers(cluster.clients) as readers:
        for _ in range(times(5, 1)):
            for machine in cluster.machines[: times(2, 1)]:
                cluster.wait_for_requests()
                writers.wait_for(5)
                assert machine.process
                for pid in (machine.pid, *machine.workers()):
                    os.kill(pid, signal.SIGKILL)
                machine.process.wait(30)
                writers.wait_for(5)
                machine.start()
    writers.check()
    # 503: writes that were in progress; 409: the first attempt still runs
    assert set(writers.seen) <= {"503", "409", "IncompleteRead"}
    assert [failure for failure in readers.failures if not str(failure).startswith("IncompleteRead")] == []
    assert readers.refused == 0
