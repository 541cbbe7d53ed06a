"""Compare the registry with equivalent implementations: `make bench`, or `python -m bench --help`.

On a shared machine a single measurement means little. In each round of a case, all contenders are measured in turn with
the same number of devices. The table has the medians of the rounds: the rate in requests per second (of a POST: devices
per second), and the CPU milliseconds per request of the server and of PostgreSQL. A ratio is the value of the registry
divided by the value of the contender in the same round. The table has the median of the rounds.

--against PATH also measures another checkout of the registry. It runs with its own code and database and the same
devices, but with the Python packages of this checkout.
"""

import argparse
import contextlib
import functools
import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bench import cases, load, servers
from bench.cases import PEERS, REGISTRY, Case
from bench.load import Reading
from bench.servers import ROOT, Server

SIZES = (10_000, 1_000_000)
COLUMNS = ("case", "contender", "rate", "workers ms", "PostgreSQL ms", "CPU ms", "rate ratio", "target", "CPU ratio")
Start = Callable[[str, int], Server]


def run(case: Case, start: Start, postgres: int, rounds: int, seconds: float) -> Iterator[str]:
    """Measure all contenders in turn, round by round. Yield the rows of the table for this case."""
    loads = {name: _load(case, name, start, seconds) for name in case.field}
    readings: dict[str, list[Reading]] = {name: [] for name in case.field}
    for _ in range(rounds):
        for name, (server, send) in loads.items():
            readings[name].append(load.measure(server, postgres, send))
    for name, found in readings.items():
        cells = [case.name if name == REGISTRY else "", name, *_medians(found)]
        ratios = ["", "", ""] if name == REGISTRY else _ratios(case.name, name, readings[REGISTRY], found)
        yield f"| {' | '.join(cells + ratios)} |"


def _load(case: Case, name: str, start: Start, seconds: float) -> tuple[Server, Callable[[], load.Load]]:
    contender = case.field[name]
    server = start(contender.server, contender.devices)
    if case.size:
        return server, functools.partial(load.post, server, case.size, seconds)
    device = servers.device(server, contender.devices // 2)
    path = case.path.format(
        last_page=-(-contender.devices // 100),
        id=device["id"],
        mac=device["device_mac"],
        part_of_name=device["device_name"][-5:],
    )
    key = server.hospital_key if contender.is_hospital_scoped else server.key
    return server, functools.partial(load.get, server, path, key, seconds)


def _medians(readings: list[Reading]) -> list[str]:
    rate = _median(reading.rate for reading in readings)
    parts = ("workers", "postgres", "total")
    times = [_median(getattr(reading, part) for reading in readings) for part in parts]
    return [f"{rate:,.0f}", *(f"{time:.2f}" for time in times)]


def _ratios(case: str, name: str, own: list[Reading], others: list[Reading]) -> list[str]:
    pairs = list(zip(own, others, strict=True))
    rate = _median(registry.rate / (other.rate or math.nan) for registry, other in pairs)
    cpu = _median(registry.total / (other.total or math.nan) for registry, other in pairs)
    return [f"{rate:.2f}", str(cases.TARGETS.get((case, name), "")), f"{cpu:.2f}"]


def _median(values: Iterable[float]) -> float:
    """Return the median, or nan if one of the values is nan."""
    known = list(values)
    return math.nan if any(map(math.isnan, known)) else statistics.median(known)


def walk(server: Server) -> str:
    """Follow `next` through all devices, 1,000 per page, and compare the last tenth of the pages with the first."""
    url, times, seen = f"{server.base}/api/devices?size=1000", [], 0
    while url:
        begun = time.monotonic()
        body = urllib.request.urlopen(urllib.request.Request(url, headers={"x-api-key": server.key})).read()
        times.append(time.monotonic() - begun)
        page = json.loads(body)
        url, seen = page["pagination"]["next"], seen + len(page["data"])
    tenth = max(len(times) // 10, 1)
    ratio = sum(times[-tenth:]) / sum(times[:tenth])
    return (
        f"{seen:,} devices by `next`, 1,000 per page: {sum(times):.1f} s; the last tenth takes {ratio:.2f} of the first"
    )


def files(server: Server, devices: int) -> Iterator[str]:
    """Export all devices, and import the same number of new ones."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "devices.csv")
        yield _command(server, devices, "export_devices", path)
        with path.open("w") as file:
            file.write("device_name,device_mac,device_type,device_holder\n")
            for number, device in enumerate(load.new_devices(devices)):
                file.write(",".join([*list(device.values())[:3], f"RS Contoh {number % 400 + 1:03d}"]) + "\n")
        yield _command(server, devices, "import_devices", path)


def _command(server: Server, devices: int, name: str, path: Path) -> str:
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "manage.py", name, path], cwd=ROOT, env=server.environment, stdout=-3, stderr=-3
    )
    _pid, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{name} failed.")
    rate = devices / (time.monotonic() - begun)
    return f"`{name}` of {devices:,}: {rate:,.0f} rows/s, {_megabytes(used)} MB"


def _megabytes(used: resource.struct_rusage) -> int:
    return used.ru_maxrss // 1024


def starter(stack: contextlib.ExitStack, database: str, against: Path | None, *, sqlite: bool = False) -> Start:
    """Return a function that starts a server and fills its database at the first call.

    sqlite: the registry and the other checkout use SQLite.
    """
    folder = stack.enter_context(tempfile.TemporaryDirectory())

    @functools.cache
    def start(name: str, devices: int) -> Server:
        if name in PEERS:
            return stack.enter_context(servers.peer(name, database, devices))
        url = f"sqlite:///{folder}/{name}-{devices}.sqlite3" if sqlite or name == cases.SQLITE else database
        if name == cases.AGAINST and against:
            return stack.enter_context(servers.registry(url, devices, against, name))
        return stack.enter_context(servers.registry(url, devices))

    return start


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="seconds of each measurement")
    parser.add_argument(
        "--peers", default=",".join(PEERS), help='names separated by commas (default: all); "" for none'
    )
    parser.add_argument("--against", type=Path, metavar="PATH", help="another checkout of the registry")
    parser.add_argument("--sqlite", action="store_true", help="the registry and --against use SQLite")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="such as detail 'list of 20, 10,000 devices'")
    parser.add_argument("--devices", type=int, nargs="+", default=SIZES, metavar="N", help="default: 10000 1000000")
    parser.add_argument("--files", action="store_true", help="also measure export and import of this number of devices")
    arguments = parser.parse_args()
    if arguments.against and not (arguments.against / "manage.py").exists():
        parser.error(f"{arguments.against} is not a checkout of the registry.")
    return arguments


def main() -> None:
    arguments = read_arguments()
    if not shutil.which("wrk"):
        raise SystemExit("Install wrk, which sends the requests.")
    peers = [name for name in arguments.peers.split(",") if name]
    sizes = sorted(arguments.devices)
    all_cases = list(cases.all_cases(sizes, peers, bool(arguments.against)))
    chosen = cases.select(all_cases, arguments.only)
    if not chosen:
        raise SystemExit("There is no such case. The cases are:\n" + "\n".join(case.name for case in all_cases))
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(servers.postgres())
        start = starter(stack, database, arguments.against, sqlite=arguments.sqlite)
        postgres = servers.postmaster(database)
        for case in chosen:
            for contender in case.field.values():
                start(contender.server, contender.devices)
        print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
        for case in chosen:
            print(*run(case, start, postgres, arguments.rounds, arguments.seconds), sep="\n", flush=True)
        if not arguments.only:
            large = start(REGISTRY, sizes[-1])
            print(f"\n- {walk(large)}\n- memory of the workers at the end: {servers.workers_memory(large)} MB")
        if arguments.files:
            print(*(f"- {line}" for line in files(start(REGISTRY, sizes[-1]), sizes[-1])), sep="\n", flush=True)


if __name__ == "__main__":
    main()
