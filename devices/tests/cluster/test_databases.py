"""A database machine fails while clients write: no acknowledged write is lost, and another one takes over.

`CLUSTER=full` injects all faults. Otherwise the leader is killed and switched over once.
"""

from functools import partial

import pytest

from devices.tests.support.services.site.load import FULL, Report
from devices.tests.support.services.site.whole import Site

NODE_LOSS = 30.0  # seconds without acknowledged writes, when a machine is lost
SWITCHOVER = 3.0  # when the leader is changed on purpose

only_full = pytest.mark.skipif(not FULL, reason="make test-cluster injects this fault")


def check(report: Report, seconds: float) -> None:
    report.check()
    assert report.seconds_without_writes < seconds


def test_another_node_leads_after_the_leader_is_killed(site: Site) -> None:
    with site.load("leader killed") as load:
        leader = site.databases.leader()
        assert leader
        load.inject(leader.kill_database)
    check(load.report, NODE_LOSS)


def test_planned_switchover_takes_a_moment(site: Site) -> None:
    with site.load("planned switchover") as load:
        leader = site.databases.leader()
        assert leader
        load.inject(partial(leader.control, "switchover", "--force"))
    check(load.report, SWITCHOVER)
