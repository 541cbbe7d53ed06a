"""An application machine or Redis fails or is replaced while clients write. `CLUSTER=full` injects these faults."""

import pytest

from devices.tests.support.services.site.load import FULL
from devices.tests.support.services.site.whole import Site

pytestmark = pytest.mark.skipif(not FULL, reason="make test-cluster injects this fault")


def test_killed_registry_loses_no_write(site: Site) -> None:
    """nginx uses the other one. Only a request that was in progress gets 503, and its client retries it."""
    with site.load("registry killed") as load:
        load.inject(site.applications[0].kill, more=100)
    load.report.check()
    assert set(load.report.failed) <= {"503"}


def test_lost_machine_of_a_registry_loses_no_write(site: Site) -> None:
    """As a power failure: it does not even refuse connections."""
    with site.load("machine of a registry lost") as load:
        application = site.applications[0]
        site.network.unplug(application.machine)
        load.inject(application.kill, more=100)
    load.report.check()
    # 409 `still_running`: PostgreSQL has not yet noticed that the machine is lost, and ends its transactions later.
    assert set(load.report.failed) <= {"503", "409"}


def test_rolling_upgrade_fails_no_request(site: Site) -> None:
    with site.load("rolling upgrade of both registries") as load:
        load.inject(lambda: [application.reload() for application in site.applications], more=100)
    load.report.check()
    assert load.report.failed == {}


def test_replaced_machine_fails_no_request(site: Site) -> None:
    """nginx first uses the other one only, as for a new operating system."""

    def replace() -> None:
        for application in site.applications:
            site.take_out(application)
            application.stop()
            application.kill()
            application.start()
            site.put_back()

    with site.load("both registries replaced") as load:
        load.inject(replace, more=100)
    load.report.check()
    assert load.report.failed == {}


def test_lost_redis_fails_no_request(site: Site) -> None:
    with site.load("Redis lost") as load:
        load.inject(site.redis.kill, more=100)
        site.redis.start()
    load.report.check()
    assert load.report.failed == {}
