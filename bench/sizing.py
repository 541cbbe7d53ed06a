"""Measure what each kind of request costs with many devices: `make sizing`, or `python -m bench.sizing --help`.

It fills a registry for each number of devices (large.py), with one gunicorn and two workers each, and one PostgreSQL
for all. In each round all registries get the same kind of request in turn, for random devices, over four connections.
The first table has the medians of the rounds, in milliseconds of CPU time per request: of the workers, and of
PostgreSQL with all its processes. CPU time varies much less than the rate if other programs use the machine.

Further tables have the durations of commands, the sizes of tables and indexes, and what the measured mix of requests
needs at several rates (see docs/operations/sizing.md). Ten million devices take 20 minutes to fill and 16 GB of disk.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psycopg

from bench import cpu, large, load, servers, traffic
from bench.servers import ROOT, Server
from bench.traffic import CASES, MIX, Case, Traffic

SIZES = (10_000, 1_000_000)
RATES = (100, 1_000, 10_000)
UTILIZATION = 0.65  # of the planned cores
MORE = 1.5  # more than this times the CPU time with fewer devices is reported
SETTINGS = ("shared_buffers=2GB", "max_wal_size=8GB")
ROWS = 10_000  # of the import

RELATIONS = """
    SELECT relname, pg_relation_size(oid), relkind = 'i' FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i') AND pg_relation_size(oid) > 0
    ORDER BY relname
"""


class Cost(NamedTuple):
    """The CPU milliseconds, seconds and kB of WAL of a request: medians of the rounds."""

    workers: float
    postgres: float
    seconds: float
    wal: float
    failed: Counter[int]

    @property
    def total(self) -> float:
        return self.workers + self.postgres


Costs = dict[str, dict[int, Cost]]  # by case and number of devices


def measure(places: Sequence[Traffic], case: Case, postmaster: int, rounds: int, seconds: float) -> dict[int, Cost]:
    """Send requests of a case to all registries in turn, round by round."""
    found: dict[int, list[Cost]] = defaultdict(list)
    for turn in range(rounds):
        if turn and any(costs[0].seconds > seconds for costs in found.values()):
            break  # further rounds would only take longer
        for place in places:
            cpu.wait_until_idle(place.server.pid, postmaster)
            wal, before = _wal(place.server), cpu.seconds(place.server.pid, postmaster)
            sent = traffic.send(place, case, seconds)
            used = [end - begin for begin, end in zip(before, cpu.seconds(place.server.pid, postmaster), strict=True)]
            written, number = _wal(place.server) - wal, len(sent.times)
            cost = (used[0] / number * 1000, used[1] / number * 1000, statistics.median(sent.times))
            found[place.devices].append(Cost(*cost, written / number / 1000, sent.failed))
    return {devices: _median(costs) for devices, costs in found.items()}


def _median(costs: Sequence[Cost]) -> Cost:
    failed = sum((cost.failed for cost in costs), Counter[int]())
    columns = list(zip(*costs, strict=True))[:-1]
    workers, postgres, seconds, wal = map(statistics.median, columns)
    return Cost(workers, postgres, seconds, wal, failed)


def _wal(server: Server) -> int:
    """Return the bytes of WAL that PostgreSQL has written so far, 0 for SQLite."""
    url = (server.environment or {})["DATABASE_URL"]
    if url.startswith("sqlite"):
        return 0
    with psycopg.connect(url) as connection:
        [number] = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone() or [0]
    return int(number)


def requests_table(costs: Costs, sizes: Sequence[int]) -> Iterator[str]:
    """Yield the rows of the table of requests. `growth`: the CPU time at the largest number to that at the smallest."""
    yield f"| request | {' | '.join(f'{size:,}: workers | PostgreSQL' for size in sizes)} | growth | WAL kB |"
    yield f"|---{'|--:' * (2 * len(sizes) + 2)}|"
    for name, found in costs.items():
        cells = [f"{cost.workers:.2f} | {cost.postgres:.2f}" for cost in found.values()]
        small, large = found[sizes[0]], found[sizes[-1]]
        wal = f"{large.wal:.1f}" if large.wal >= 1 else ""
        growth = large.total / small.total
        yield f"| {name} | {' | '.join(cells)} | {growth:.2f}{' **' if growth > MORE else ''} | {wal} |"
    for name, found in costs.items():
        for size, cost in found.items():
            if cost.failed:
                yield f"\n{name}, {size:,} devices: {dict(cost.failed)} (number of requests by status)"
            elif cost.seconds > 1:
                yield f"\n{name}, {size:,} devices: {cost.seconds:.1f} s at the median"


def commands_table(places: Sequence[Traffic], postmaster: int) -> Iterator[str]:
    """Run each command once with each number of devices, and yield the rows of their table."""
    yield f"| command | {' | '.join(f'{place.devices:,}: s | CPU s | PostgreSQL CPU s | MB' for place in places)} |"
    yield f"|---{'|--:' * (4 * len(places))}|"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "devices.csv")
        rows = [",".join((row | {"device_holder": "RS Contoh 001"}).values()) for row in load.new_devices(ROWS)]
        path.write_text("\n".join(["device_name,device_mac,device_type,device_holder", *rows]) + "\n")
        for name, arguments in {
            "migrate, nothing to do": ["migrate", "-v0"],
            "check_counts": ["check_counts"],
            "prune": ["prune"],
            "prune --changes 2200": ["prune", "--changes", "2200"],
            "export_devices": ["export_devices", str(Path(folder, "export.csv"))],
            f"import_devices, {ROWS:,} new": ["import_devices", str(path)],
        }.items():
            cells = [_command(place.server, arguments, postmaster) for place in places]
            yield f"| `{name}` | {' | '.join(cells)} |"


def _command(server: Server, arguments: list[str], postmaster: int) -> str:
    before, begun = cpu.seconds(postmaster), time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=server.environment, stdout=-3, stderr=-3
    )
    _pid, status, used = os.wait4(process.pid, 0)
    took, after = time.monotonic() - begun, cpu.seconds(postmaster)
    if status:
        raise SystemExit(f"{arguments[0]} failed.")
    return f"{took:.1f} | {used.ru_utime + used.ru_stime:.1f} | {after[0] - before[0]:.1f} | {used.ru_maxrss // 1024}"


def sizes_table(places: Sequence[Traffic]) -> Iterator[str]:
    """Yield the rows of the table of tables and indexes larger than 10 MB, in MB."""
    sizes: dict[str, dict[int, float]] = defaultdict(dict)
    for place in places:
        with psycopg.connect((place.server.environment or {})["DATABASE_URL"]) as connection:
            for name, size, is_index in connection.execute(RELATIONS):
                sizes[f"{'index' if is_index else 'table'} {name}"][place.devices] = size / 1e6
            [whole] = connection.execute("SELECT pg_database_size(current_database())").fetchone() or [0]
        sizes["whole database"][place.devices] = whole / 1e6
    yield f"| MB | {' | '.join(f'{place.devices:,}' for place in places)} |\n|---{'|--:' * len(places)}|"
    for name, found in sorted(sizes.items()):
        if max(found.values()) > 10:
            yield f"| {name} | {' | '.join(f'{found.get(place.devices, 0):,.1f}' for place in places)} |"


def guide(costs: Costs, sizes: Sequence[int], rates: Sequence[int] = RATES) -> Iterator[str]:
    """Yield the table of the cores that the mix needs, from the measured CPU time of its requests."""
    yield "| devices | requests/s | ms of workers | ms of PostgreSQL | cores for workers | cores for PostgreSQL |"
    yield "|--:|--:|--:|--:|--:|--:|"
    for size in sizes:
        workers, postgres = (
            sum(share * getattr(costs[name][size], part) for name, share in MIX.items()) / sum(MIX.values())
            for part in ("workers", "postgres")
        )
        for rate in rates:
            needed = [f"{cores(rate, milliseconds):.1f}" for milliseconds in (workers, postgres)]
            yield f"| {size:,} | {rate:,} | {workers:.2f} | {postgres:.2f} | {' | '.join(needed)} |"


def cores(rate: float, milliseconds: float) -> float:
    """Return the cores for this number of requests per second, of which each takes this CPU time."""
    return rate * milliseconds / 1000 / UTILIZATION


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="+", default=SIZES, metavar="N", help="multiples of 50")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="seconds of each measurement")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="such as detail 'list of 20'")
    parser.add_argument("--sqlite", action="store_true", help="use SQLite; seed_devices fills it")
    return parser.parse_args()


def main() -> None:
    options = read_arguments()
    sizes = sorted(options.devices)
    chosen = [case for case in CASES if options.only is None or case.name in options.only]
    if not chosen:
        raise SystemExit("There is no such case. The cases are:\n" + "\n".join(case.name for case in CASES))
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(servers.postgres(*SETTINGS))
        postmaster = servers.postmaster(database)
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        servers.manage(ROOT, {**os.environ, **servers.ENVIRONMENT}, "collectstatic", "--noinput", "-v0")
        places = []
        for size in sizes:
            url, fill = (
                (f"sqlite:///{folder}/{size}.sqlite3", servers.seed) if options.sqlite else (database, large.fill)
            )
            begun = time.monotonic()
            server = stack.enter_context(servers.registry(url, size, name="sizing", fill=fill))
            print(f"{size:,} devices are ready after {time.monotonic() - begun:.0f} s.", file=sys.stderr)
            places.append(traffic.sample(server, size))
        for place in places:  # warm up: connections, prepared statements, caches
            for case in chosen:
                traffic.send(place, case, 0)
        costs = {}
        for case in chosen:
            costs[case.name] = measure(places, case, postmaster, options.rounds, options.seconds)
            print(f"{case.name}: {costs[case.name]}", file=sys.stderr, flush=True)
        print(*requests_table(costs, sizes), sep="\n")
        if options.only is None:
            print("", *guide(costs, sizes), sep="\n")
            print("", *commands_table(places, postmaster), sep="\n")
            if not options.sqlite:
                print("", *sizes_table(places), sep="\n")
            memory = {f"{place.devices:,}": servers.workers_memory(place.server) for place in places}
            print(f"\nMemory of the workers at the end, MB: {memory}")


if __name__ == "__main__":
    main()
