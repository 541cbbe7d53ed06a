"""Destroy a registry on SQLite, and restore it from each kind of copy, with the commands of the page."""

import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from devices.tests.support.drill import pages, scenario
from devices.tests.support.drill.content import Rows, of_sqlite
from devices.tests.support.drill.machine import Machine
from devices.tests.support.drill.report import Report
from devices.tests.support.drill.scenario import Evidence
from devices.tests.support.services.faults import Writers

PAGE = "backup-sqlite"
COPIES = {"Back up with VACUUM INTO": "vacuum.sqlite3", "Back up with .backup": "backup.sqlite3"}


class Drill(NamedTuple):
    machine: Machine
    evidence: Evidence
    report: Report

    @property
    def database(self) -> Path:
        return self.machine.cwd / "db.sqlite3"

    @property
    def copy(self) -> Path:
        """The file that the commands of the page write and read."""
        return self.machine.folder / "backups/registry-2026-11-28.sqlite3"

    def rows(self, before: Mapping[str, Rows] | None = None) -> dict[str, Rows]:
        return of_sqlite(self.database, before)

    def back_up_while_clients_write(self) -> None:
        assert self.machine.registry
        writers = Writers(self.machine.registry)
        with writers:
            writers.wait_for(5)
            started = len(writers.acknowledged)
            self.back_up("Back up with VACUUM INTO")
            self.report.note(f"acknowledged writes during these commands: {len(writers.acknowledged) - started}")
            writers.wait_for(5)
        assert writers.failures == []

    def back_up(self, heading: str) -> None:
        """Back up as on the page, and keep the copy under another name."""
        assert "ok" in self.machine.do(PAGE, heading, self.report)
        self.report.note_size(self.copy)
        self.copy.rename(self.copy.with_name(COPIES[heading]))

    def restore(self, heading: str, *, former: bool) -> None:
        """Do the steps of the page with this copy. `former`: the former files exist."""
        (self.copy.with_name(COPIES[heading])).rename(self.copy)
        steps = pages.sections(PAGE)["Restore SQLite"]
        copied = next(index for index, command in enumerate(steps) if command.startswith("install "))
        for command in steps[: copied + 1]:
            if former or not command.startswith("mkdir before"):
                self.machine.run(command, self.report)
        scenario.check_restored(self.rows, self.evidence, self.report)
        scenario.check_secrets(self.machine, self.evidence, self.report)
        with closing(sqlite3.connect(self.database)) as connection, pytest.raises(sqlite3.IntegrityError):
            connection.execute("UPDATE devices_historicaldevice SET device_name = 'x' WHERE history_id = 1")
        with closing(sqlite3.connect(self.database)) as connection:
            names = connection.execute("SELECT device_name FROM devices_device WHERE device_name LIKE 'Drill %'")
            assert names.fetchall() == [("Drill 1",)]
        out = [self.machine.run(command, self.report) for command in steps[copied + 1 :]]
        assert out[2] == "All counters match."
        assert out[-1] == "200"
        scenario.check_served(self.machine, self.evidence)


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    report = Report(f"SQLite, {scenario.DEVICES:,} devices")
    folder = tmp_path_factory.mktemp("drill")
    for name in ("backups", "data"):
        (folder / name).mkdir()
    replaced = {
        "/var/backups/registry": str(folder / "backups"),
        "$(date +%F)": "2026-11-28",
        "-o registry -g registry ": "",
    }
    machine = Machine(folder, {"DATABASE_URL": f"sqlite:///{folder / 'data/db.sqlite3'}"}, replaced)
    machine.cwd = folder / "data"
    machine.run("manage.py migrate -v0")
    try:
        known = scenario.fill(machine, report)
        assert machine.registry
        cursors = [scenario.cursor_of_now(machine.registry)]
        with report.step("digest of the rows of all tables"):
            rows = of_sqlite(machine.cwd / "db.sqlite3")
        drill = Drill(machine, Evidence(rows, known, cursors), report)
        report.note_size(drill.database)
        scenario.begin_writing(machine)
        scenario.register(machine.registry, 1)
        drill.back_up_while_clients_write()
        drill.back_up("Back up with .backup")
        drill.evidence.last = scenario.register(machine.registry, 2)
        cursors.append(scenario.cursor_of_now(machine.registry))
        yield drill
    finally:
        if machine.registry:
            machine.registry.stop()
        shutil.rmtree(folder)
    report.print()


def test_copy_of_vacuum_into_replaces_a_damaged_database(drill: Drill) -> None:
    assert drill.machine.registry
    drill.machine.registry.stop()
    with drill.database.open("r+b") as file:
        file.write(bytes(1_000_000))
    drill.restore("Back up with VACUUM INTO", former=True)


def test_copy_of_backup_replaces_a_lost_database(drill: Drill) -> None:
    assert drill.machine.registry
    drill.machine.registry.stop()
    for path in drill.machine.cwd.glob("db.sqlite3*"):
        path.unlink()
    drill.restore("Back up with .backup", former=False)
