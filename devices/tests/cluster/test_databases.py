"""A database machine fails while clients write: no acknowledged write is lost, and another one takes over.

`CLUSTER=full` injects each fault separately, and docs/reliability.md reports the figures. Otherwise one test kills the
leader and then changes it, with the same clients.
"""

import re
import time
from functools import partial

import pytest
import yaml

from devices.tests.support.services.faults import eventually
from devices.tests.support.services.server import ROOT
from devices.tests.support.services.site.load import FULL
from devices.tests.support.services.site.whole import Site

only_full = pytest.mark.skipif(not FULL, reason="make test-cluster injects this fault")
only_short = pytest.mark.skipif(FULL, reason="make test-cluster injects these faults separately")


def test_alerts_use_the_metrics_of_patroni(site: Site) -> None:
    [group] = yaml.safe_load((ROOT / "deploy/prometheus/patroni.yml").read_text())["groups"]
    used = set(re.findall(r"\bpatroni_\w+", " ".join(rule["expr"] for rule in group["rules"])))
    assert len(used) == 3
    for text in site.databases.metrics():
        assert {name for name in used if not re.search(rf"^{name}\{{", text, re.MULTILINE)} == set()
    whole = "".join(site.databases.metrics())
    values = re.findall(r"^(patroni_primary|patroni_postgres_streaming)\{.*\} 1$", whole, re.MULTILINE)
    assert sorted(values) == ["patroni_postgres_streaming"] * 2 + ["patroni_primary"]


@only_short
def test_killed_leader_and_switchover_lose_no_write(site: Site) -> None:
    with site.load("leader killed, then switchover") as load:
        load.inject(site.databases.must_lead().kill_database)
        site.restore()
        load.switch_over(site.databases)
    load.report.check()


@only_full
def test_killed_leader_loses_no_write(site: Site) -> None:
    with site.load("leader killed") as load:
        load.inject(site.databases.must_lead().kill_database)
    load.report.check()


@only_full
def test_lost_machine_of_the_leader_loses_no_write(site: Site) -> None:
    """As a power failure: nothing responds, not even with a reset. A member of etcd is lost too."""
    with site.load("machine of the leader lost") as load:
        node = site.databases.must_lead()
        site.network.unplug(node.machine)
        load.inject(node.machine.kill)
    load.report.check()


@only_full
def test_frozen_leader_loses_no_write(site: Site) -> None:
    """All processes are stopped, and the kernel acknowledges packets: clients see a server that does not respond."""
    with site.load("leader frozen") as load:
        load.inject(site.databases.must_lead().machine.freeze)
    load.report.check()


@only_full
def test_paused_machine_of_the_leader_loses_no_write(site: Site) -> None:
    """As a virtual machine that is paused, and continues later: it acknowledges no packet."""
    with site.load("machine of the leader paused") as load:
        node = site.databases.must_lead()
        site.network.unplug(node.machine)
        load.inject(node.machine.freeze)
    load.report.check()


@only_full
def test_separated_leader_loses_no_write(site: Site) -> None:
    """It reaches neither the other machines nor their etcd. Clients still reach it."""
    with site.load("leader separated") as load:
        node = site.databases.must_lead()
        others = [other.machine for other in site.databases.others(node)]
        load.inject(partial(site.network.separate, node.machine, others))
        eventually(lambda: site.databases.leader() not in (node, None))
        load.inject(lambda: None)
    load.report.check()


@only_full
def test_lost_standby_loses_no_write(site: Site) -> None:
    with site.load("standby lost") as load:
        standby = site.databases.others(site.databases.must_lead())[0]
        site.network.unplug(standby.machine)
        load.inject(standby.machine.kill, more=100)
    load.report.check()


@only_full
def test_leader_without_standbys_acknowledges_no_write(site: Site) -> None:
    """Writes wait or get 503, and reads continue, until a standby is back."""
    with site.load("both standbys lost") as load:

        def lose_both() -> None:
            for node in site.databases.others(site.databases.must_lead()):
                node.kill_database()
            time.sleep(10)  # requests end whose standby acknowledged the write before
            before = len(load.writers.acknowledged)
            reads = [site.entrance.send("GET", "/api/devices?size=5").status for _ in range(20)]
            time.sleep(10)
            assert len(load.writers.acknowledged) == before
            assert set(reads) == {200}
            site.restore()

        load.inject(lose_both)
    load.report.check()


@only_full
def test_lost_member_of_etcd_loses_no_write(site: Site) -> None:
    with site.load("etcd of the leader's machine lost") as load:
        load.inject(site.databases.must_lead().kill_etcd, more=100)
    load.report.check()


@only_full
def test_leader_continues_while_etcd_has_no_quorum(site: Site) -> None:
    """For longer than its lock lasts, because it reaches the other Patronis (failsafe_mode)."""
    with site.load("two of three members of etcd lost") as load:

        def lose_quorum() -> None:
            for node in site.databases.nodes[:2]:
                node.kill_etcd()
            time.sleep(30)

        load.inject(lose_quorum)
    load.report.check()
    time.sleep(20)  # two loops of Patroni: its standbys watch etcd again, and notice the next change at once


@only_full
def test_planned_switchover_loses_no_write(site: Site) -> None:
    with site.load("planned switchover") as load:
        load.switch_over(site.databases)
    load.report.check()


@only_full
def test_rolling_restart_of_postgresql_loses_no_write(site: Site) -> None:
    """As for a minor version: each standby, then a switchover, then the former leader."""

    def restart() -> None:
        databases = site.databases
        former = databases.must_lead()
        for node in databases.others(former):
            former.control("restart", "registry", node.machine.name, "--force")
            databases.wait_until_complete()
        former.control("switchover", "--force")
        databases.wait_until_complete()
        former.control("restart", "registry", former.machine.name, "--force")

    with site.load("rolling restart of PostgreSQL") as load:
        load.inject(restart)
    load.report.check()


@only_full
def test_replaced_database_machine_loses_no_write(site: Site) -> None:
    """A standby loses its disk. An empty machine takes its place in etcd, and copies the database."""
    with site.load("database machine replaced") as load:
        node = site.databases.others(site.databases.must_lead())[0]
        load.inject(node.destroy, more=50)
        load.inject(lambda: site.databases.replace(node), more=50)
    load.report.check()


@only_full
def test_asynchronous_replication_loses_writes_and_the_report_shows_it(site: Site) -> None:
    """The other tests could not fail if this one did: a separated leader acknowledges what only it has."""
    databases = site.databases
    databases.configure(synchronous_mode="off")
    with site.load("leader separated, with asynchronous replication") as load:
        node = databases.must_lead()
        others = [other.machine for other in databases.others(node)]
        load.inject(partial(site.network.separate, node.machine, others))
        eventually(lambda: databases.leader() not in (node, None))
        load.inject(lambda: None)
    databases.configure(synchronous_mode="quorum")
    databases.wait_until_complete()
    assert load.report.lost
