"""The registry before a backup, the clients that write during it, and the checks after a restore."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from devices.tests.support.drill.content import Rows
from devices.tests.support.drill.machine import Machine
from devices.tests.support.drill.report import Report
from devices.tests.support.factories import device_payload
from devices.tests.support.services.faults import Registry
from devices.tests.support.services.server import ROOT

DEVICES = int(os.environ.get("DRILL_DEVICES", "2000"))
FEED = "/api/devices/changes"
RowsOf = Callable[[Mapping[str, Rows] | None], dict[str, Rows]]


@dataclass
class Evidence:
    """The state of the registry that is destroyed, and the values that its clients and users have.

    rows: the rows before clients wrote, by table. known: the secrets that `fill` returned. cursors: of the change feed,
    also one of after the backup. last: the last ids of a device and a hospital that any client received.
    """

    rows: dict[str, Rows]
    known: dict[str, Any]
    cursors: list[str] = field(default_factory=list)
    last: tuple[int, int] = (0, 0)


def fill(machine: Machine, report: Report, number: int = DEVICES) -> dict[str, Any]:
    """Fill the migrated database, and serve it. Return the secrets of its clients and users."""
    with report.step(f"load {number:,} devices"):
        known = _in_registry(machine, "fill", str(number))
    registry = Registry(machine.environment["DATABASE_URL"], machine.folder / "log-of-registry", known["key"])
    machine.registry = registry
    machine.environment["PORT"] = str(registry.port)
    machine.replaced["http://127.0.0.1:8000"] = f"http://127.0.0.1:{registry.port}"
    machine.services["registry"] = (registry.start, registry.stop)
    registry.environment = machine.environment | {"WEB_CONCURRENCY": "2"}
    (machine.folder / "key").write_text(known["one"])
    registry.start()
    follow(machine)
    return known


def begin_writing(machine: Machine) -> None:
    """Let the clients use a key that no compared row contains: the use of a key changes its row."""
    assert machine.registry
    machine.registry.key = machine.run("manage.py create_api_key writers 2>/dev/null")


def register(registry: Registry, number: int) -> tuple[int, int]:
    """Register a device of a new hospital, and return the ids of both."""
    payload = device_payload(number, device_name=f"Drill {number}", device_holder=f"RS Baru {number}")
    response = registry.send("POST", "/api/devices", payload)
    assert response.status == 201, response
    [device] = response.body["data"]
    [hospital] = registry.send("GET", f"/api/hospitals?search=RS+Baru+{number}").body["data"]
    return device["id"], hospital["hospital_id"]


def cursor_of_now(registry: Registry) -> str:
    cursor: str = registry.send("GET", f"{FEED}?since=now").body["pagination"]["cursor"]
    return cursor


def follow(machine: Machine) -> str:
    """Keep a copy of one hospital, as an existing client does. Return its messages."""
    assert machine.registry
    folder = machine.folder
    return machine.run(
        f"manage.py follow_changes http://127.0.0.1:{machine.registry.port} --key-file {folder / 'key'} "
        f"--state {folder / 'copy.sqlite3'} --out {folder / 'copy.jsonl'} --once 2>&1"
    )


def check_restored(rows_of: RowsOf, evidence: Evidence, report: Report) -> None:
    """Compare each row that existed before the clients wrote, in each table."""
    with report.step("compare the rows of all tables"):
        restored = rows_of(evidence.rows)
    assert restored.keys() == evidence.rows.keys()
    differing = [
        f"{table}: {rows}, {restored[table]}" for table, rows in evidence.rows.items() if restored[table] != rows
    ]
    assert not differing, "\n".join(differing)


def check_secrets(machine: Machine, evidence: Evidence, report: Report) -> None:
    """Decrypt what the database encrypts, and compare each device with the last entry of its history."""
    with report.step("decrypt secrets, compare devices with their history"):
        found = _in_registry(machine, "look", evidence.known)
    known = evidence.known
    assert found["apps"] == found["decrypted"] > 1
    assert found["recovery_code"]
    assert found["session_of"] == str(known["operator"])
    assert found["devices"] >= evidence.rows["devices_device"].number > 0
    assert found["differing_from_history"] == 0


def check_served(machine: Machine, evidence: Evidence) -> None:
    """Send the requests of existing clients to the registry, which has been started."""
    registry, known = machine.registry, evidence.known
    assert registry
    registry.key = known["key"]
    assert registry.is_ready()
    assert registry.send("GET", "/api/key", x_api_key=known["revoked"]).status == 401
    total = registry.send("GET", "/api/devices?size=1").body["pagination"]["total"]
    assert total >= evidence.rows["devices_device"].number
    for cursor in evidence.cursors:
        assert registry.send("GET", f"{FEED}?since={cursor}").status == 410
    for key, pk in known["responses"].items():
        number = int(key.rpartition("-")[2])
        body = [device_payload(10**12 + number, device_name=f"Stored {number}", device_holder="RS Harapan")]
        again = registry.send("POST", "/api/devices", body, idempotency_key=key)
        assert (again.status, again.body["data"][0]["id"]) == (201, pk), again
    newer = register(registry, 3)
    assert newer > evidence.last
    assert newer[1] > evidence.last[1]
    for cursor in evidence.cursors:  # also after new changes
        assert registry.send("GET", f"{FEED}?since={cursor}").status == 410
    check_copy(machine, known["one"])
    assert "All counters match." in registry.manage("check_counts")


def check_copy(machine: Machine, key: str) -> None:
    """The client of the change feed starts over by itself, and its copy equals the registry row for row."""
    assert machine.registry
    assert "Starting again from the beginning." in follow(machine)
    lines = (machine.folder / "copy.jsonl").read_text().splitlines()
    copy = {row["id"]: row for row in map(json.loads, lines)}
    former, machine.registry.key = machine.registry.key, key
    assert copy == machine.registry.devices() != {}
    machine.registry.key = former


def _in_registry(machine: Machine, command: str, argument: Any) -> dict[str, Any]:
    """Run a command of `fill.py` with the database of the machine."""
    arguments, sent = ([argument], None) if isinstance(argument, str) else ([], json.dumps(argument))
    environment = {**machine.environment, "DJANGO_SETTINGS_MODULE": "cexup.settings", "ALLOWED_HOSTS": "*"}
    run = [sys.executable, "-m", "devices.tests.support.drill.fill", command, *arguments]
    done = subprocess.run(run, cwd=ROOT, env=environment, input=sent, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
