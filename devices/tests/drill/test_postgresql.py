"""Destroy a registry on PostgreSQL, and restore it from pgBackRest and from a dump, with the commands of the page."""

import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import psycopg
import pytest

from devices.tests.support.drill import pages, scenario
from devices.tests.support.drill.content import Rows, of_postgresql
from devices.tests.support.drill.machine import Machine
from devices.tests.support.drill.postgres import Postgres, postgres_server
from devices.tests.support.drill.report import Report
from devices.tests.support.drill.scenario import Evidence
from devices.tests.support.services.faults import Writers, eventually

PAGE = "backup-postgresql"
ROLES = "sudo -u postgres psql -d registry -f deploy/postgresql-roles.sql"
FIRST, SECOND = "Drill 1", "Drill 2"  # the devices before and after the time to which the database is restored


class Drill(NamedTuple):
    server: Postgres
    machine: Machine
    evidence: Evidence
    report: Report

    def rows(self, before: Mapping[str, Rows] | None = None) -> dict[str, Rows]:
        return of_postgresql(self.server.url("postgres"), before)

    def names(self) -> set[object]:
        return {
            name
            for (name,) in self.server.run("SELECT device_name FROM devices_device WHERE device_name LIKE 'Drill %'")
        }

    def lose_the_server(self) -> None:
        """Kill everything, and create an empty cluster."""
        assert self.machine.registry
        self.machine.registry.stop()
        self.server.destroy()
        self.server.initialize()
        self.server.start()

    def check(self) -> None:
        """Check the restored database, and do the last steps of the page."""
        scenario.check_restored(self.rows, self.evidence, self.report)
        scenario.check_secrets(self.machine, self.evidence, self.report)
        with pytest.raises(psycopg.errors.RestrictViolation):
            self.server.run("UPDATE devices_historicaldevice SET device_name = 'x' WHERE history_id = 1")
        out = self.machine.do(PAGE, "Check and start", self.report)
        assert out[2] == "All counters match."
        assert out[-1] == "200"
        scenario.check_served(self.machine, self.evidence)


@pytest.fixture(scope="module")
def drill() -> Iterator[Drill]:
    report = Report(f"PostgreSQL, {scenario.DEVICES:,} devices")
    with postgres_server() as (server, machine):
        machine.run("sudo -u postgres createdb -E UTF8 -T template0 --locale=C.UTF-8 registry")
        machine.run(ROLES)
        machine.run("DATABASE_URL='postgres://registry_owner:…' manage.py migrate -v0")
        machine.run(ROLES)
        known = scenario.fill(machine, report)
        assert machine.registry
        cursors = [scenario.cursor_of_now(machine.registry)]
        with report.step("digest of the rows of all tables"):
            rows = of_postgresql(server.url("postgres"))
        drill = Drill(server, machine, Evidence(rows, known, cursors), report)
        prepare(drill)
        yield drill
    report.print()


def prepare(drill: Drill) -> None:
    """Back up in both ways while clients write. Then write a device before and one after the time to restore."""
    server, machine, evidence, report = drill
    registry = machine.registry
    assert registry
    out = machine.do(PAGE, "Set up pgBackRest", report)
    assert out[-2] == "", "pgBackRest found damaged files"
    assert "status: ok" in out[-1]
    registry.start()
    report.note_size(machine.folder / "repository")
    scenario.begin_writing(machine)
    writers = Writers(registry)
    with writers:
        writers.wait_for(5)
        started = len(writers.acknowledged)
        machine.do(PAGE, "Back up with pg_dump", report)
        report.note_size(machine.folder / "backups/registry-2026-11-28.dump")
        report.note(f"acknowledged writes during these commands: {len(writers.acknowledged) - started}")
        writers.wait_for(5)
    assert writers.failures == []
    scenario.register(registry, 1)
    time.sleep(1)
    [[target]] = server.run("SELECT clock_timestamp() AT TIME ZONE 'UTC'")
    machine.replaced["2026-11-28 12:00:00+00"] = f"{target}+00"
    time.sleep(1)
    evidence.last = scenario.register(registry, 2)
    evidence.cursors.append(scenario.cursor_of_now(registry))
    [[segment]] = server.run("SELECT pg_walfile_name(pg_switch_wal())")
    eventually(lambda: server.run(f"SELECT last_archived_wal >= '{segment}' FROM pg_stat_archiver") == [(True,)])


def test_database_is_restored_to_a_point_in_time(drill: Drill) -> None:
    drill.lose_the_server()
    steps = pages.sections(PAGE)["Restore to a point in time"]
    assert "backup" in steps[-1]
    for command in steps[:-2]:
        drill.machine.run(command, drill.report)
    eventually(lambda: drill.machine.run(steps[-2]) == "f")
    assert drill.names() == {FIRST}
    drill.check()
    drill.machine.run(steps[-1], drill.report)


def test_dump_is_restored_into_an_empty_cluster(drill: Drill) -> None:
    steps = pages.sections(PAGE)["Restore a dump"]
    [rename] = [command for command in steps if "RENAME" in command]
    assert drill.machine.registry
    drill.machine.registry.stop()
    drill.machine.run(rename)
    assert drill.server.run("SELECT count(*) FROM devices_device", "registry_old")
    drill.lose_the_server()
    for command in steps:
        if command != rename:
            drill.machine.run(command, drill.report)
    assert drill.names() == set()
    drill.check()
    drill.machine.do(PAGE, "Recover only some devices", drill.report)
    assert drill.machine.registry
    drill.machine.registry.stop()
    for command in pages.sections(PAGE)["Set up pgBackRest"]:
        if "ALTER SYSTEM" in command or command.startswith("systemctl"):
            drill.machine.run(command)
    drill.machine.do(PAGE, "Continue with pgBackRest on a new cluster", drill.report)


def test_damaged_file_of_the_repository_is_found(drill: Drill) -> None:
    [verify] = [command for command in pages.sections(PAGE)["Set up pgBackRest"] if "verify" in command]
    assert drill.machine.run(verify) == ""
    files = (drill.machine.folder / "repository/backup/registry").glob("*F/pg_data/base/**/*.zst")
    with max(files, key=lambda path: path.stat().st_size).open("r+b") as file:
        file.seek(1000)
        file.write(bytes(16))
    assert "checksum invalid: 1" in drill.machine.run(verify)
