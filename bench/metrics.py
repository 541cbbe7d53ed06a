"""Compare the CPU time of requests with and without metrics: `python -m bench.metrics`.

It starts two servers with the same data: one with METRICS_PORT, which is also scraped once per round, and one without.
Each round measures both, in alternating order. The output is the median CPU time per request of the servers and of
PostgreSQL, and the median of the ratios of the rounds.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.load import get, measure
from bench.servers import Server, free_port, postgres, postmaster, registry

REQUESTS = {"list of 100": "/api/devices?page=1&size=100", "detail": "/api/device/10"}


@contextlib.contextmanager
def served(url: str, devices: int, port: int) -> Iterator[Server]:
    """Serve the registry, with its metrics on this port. 0: without metrics."""
    os.environ["METRICS_PORT"] = str(port)
    with registry(url, devices, name=f"metrics{bool(port):d}") as server:
        yield server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, postgres() as server:
        pid = postmaster(server)
        for name in ("PostgreSQL", "SQLite"):
            urls = [
                f"sqlite:///{Path(folder, f'{number}.sqlite3')}" if name == "SQLite" else server for number in (0, 1)
            ]
            port = free_port()
            with served(urls[0], options.devices, 0) as off, served(urls[1], options.devices, port) as on:
                compare(name, off, on, pid, port, options.rounds, options.seconds)


def compare(database: str, off: Server, on: Server, postgres: int, port: int, rounds: int, seconds: int) -> None:
    """Print a line for each request."""
    for request, path in REQUESTS.items():
        readings: dict[int, list[float]] = {off.pid: [], on.pid: []}
        for number in range(rounds + 1):
            for server in (off, on) if number % 2 else (on, off):
                reading = measure(server, postgres, partial(get, server, path, server.key, seconds))
                if number:  # the first round warms up
                    readings[server.pid].append(reading.total if database == "PostgreSQL" else reading.workers)
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read()
        without, with_metrics = readings[off.pid], readings[on.pid]
        ratio = statistics.median(b / a for a, b in zip(without, with_metrics, strict=True))
        print(
            f"{database}, {request}: {statistics.median(without):.3f} ms without metrics, "
            f"{statistics.median(with_metrics):.3f} ms with metrics, ratio {ratio:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
