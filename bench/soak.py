"""Load the registry with 70 % of its capacity for ten minutes: `make soak`, or `python -m bench.soak --help`.

1. Warm up for a minute with more clients than later, so that all threads have a database connection, prepared
   statements and their memory. Then measure the capacity: eight clients send their next request as soon as they
   receive a response. On a shared machine the capacity may double within a minute, so it is measured ten times. The
   lowest value counts, because the registry can reach it at any time.
2. Send 70 % of that rate, independent of the responses. Each request has a due time, and its duration is counted from
   then, so a slow response does not delay later requests. 90 % of the requests read and 10 % write. They retire nearly
   as many devices as they register, so that the number of devices stays about the same.
3. Compare the devices with the acknowledged writes, and the counters with the devices.

The report has each tenth of the time (one minute of ten): times, memory and connections must not grow.
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import psycopg

from bench import servers
from bench.servers import ROOT, Server

CLIENTS, WARM_UP_CLIENTS, WARM_UP, SAMPLE_EVERY, MAX_IDLE = 8, 64, 60.0, 2.0, 3.0
MEASUREMENTS = 10  # of the capacity
READS, WRITES = "reads", "writes"


@dataclass
class Connections:
    """Persistent connections to the server: one for each concurrent request."""

    server: Server
    idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    def __post_init__(self) -> None:
        address = urlsplit(self.server.base)
        self.host, self.port = str(address.hostname), int(address.port or 80)

    async def send(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Return status and body. A write has an Idempotency-Key, so that it can be sent again.

        The server may close a persistent connection while the client sends. Then send the request on a new one.
        """
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", f"x-api-key: {self.server.key}"]
        lines += [f"Content-Type: application/json\r\nContent-Length: {len(data)}"] if data else []
        lines += [] if method == "GET" else [f"Idempotency-Key: {uuid.uuid4()}"]
        request = "\r\n".join([*lines, "", ""]).encode() + data
        while self.idle:
            since, reader, writer = self.idle.pop()
            if time.monotonic() - since > MAX_IDLE:
                writer.close()
                continue
            try:
                return await self._exchange(reader, writer, request)
            except (OSError, asyncio.IncompleteReadError):
                writer.close()
        return await self._exchange(*await asyncio.open_connection(self.host, self.port), request)

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> tuple[int, bytes]:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].split("\r\n")[0])
        body = await reader.readexactly(length)
        if "connection: close" in head:
            writer.close()
        else:
            self.idle.append((time.monotonic(), reader, writer))
        return int(head.split(" ", 2)[1]), body


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of one request, in seconds."""

    kind: str
    due: float
    late: float  # between the due time and the sending
    took: float  # between the due time and the response


@dataclass
class Load:
    """The requests of the clients, and what they expect the registry to have."""

    connections: Connections
    devices: int
    chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311
    known: deque[tuple[int, str]] = field(default_factory=deque)  # id and name of the registered devices
    retired: set[int] = field(default_factory=set)
    cursor: str = "/api/devices/changes?since=now&size=100"
    serial: int = field(default_factory=lambda: time.time_ns() // 1000 % 2**44)
    registered: int = 0
    timings: list[Timing] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    async def one(self, due: float) -> None:
        """Send one request, and record its times."""
        late = time.monotonic() - due
        kind, send = self._choose()
        try:
            await send()
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            self.errors[f"{send.__name__}: {error!r}"] += 1
        self.timings.append(Timing(kind, due, late, time.monotonic() - due))

    def _choose(self) -> tuple[str, Callable[[], Awaitable[None]]]:
        reads = [(self.page, 35.0), (self.detail, 30.0), (self.filtered, 15.0), (self.changes, 10.0)]
        # They retire nearly as many devices as they register.
        writes = [(self.post, 1.2), (self.patch, 3.0), (self.delete, 5.8)]
        kinds = reads + writes
        [send] = self.chance.choices([send for send, _share in kinds], [share for _send, share in kinds])
        return (READS if send in [read for read, _share in reads] else WRITES), send

    async def page(self) -> None:
        size = self.chance.choice((20, 50, 100))
        await self._get(f"/api/devices?page={self.chance.randint(1, self.devices // size)}&size={size}")

    async def detail(self) -> None:
        await self._get(f"/api/device/{self.chance.randint(1, self.devices)}")

    async def filtered(self) -> None:
        hospital = f"device_holder=RS%20Contoh%20{self.chance.randint(1, 400):03d}"
        await self._get(f"/api/devices?{self.chance.choice([hospital, 'search=bp', 'device_type=CORPORATE'])}&size=20")

    async def changes(self) -> None:
        page = json.loads(await self._get(self.cursor))
        self.cursor = page["pagination"]["next"].removeprefix(self.connections.server.base)

    async def post(self) -> None:
        posted = []
        for _ in range(self.chance.randint(1, 10)):
            self.serial += 1
            mac = f"{self.serial:012X}"
            posted.append({"device_name": f"Soak {self.serial}", "device_mac": mac, "device_type": "CONSUMER"})
        rows = await self._write("POST", "/api/devices", posted, 201)
        self.registered += len(rows)
        self.known.extend((row["id"], row["device_name"]) for row in rows)

    async def patch(self) -> None:
        if not self.known:
            await self.post()
            return
        pk, name = self.known.popleft()  # so that no other client changes it at the same time
        row = await self._write("PATCH", f"/api/device/{pk}", {"device_name": f"{name}."}, 200)
        self.known.append((pk, row["device_name"]))

    async def delete(self) -> None:
        if not self.known:
            await self.post()
            return
        pk, _name = self.known.popleft()
        await self._write("DELETE", f"/api/device/{pk}", None, 200)
        self.retired.add(pk)

    async def _get(self, path: str) -> bytes:
        status, body = await self.connections.send("GET", path)
        if status != 200:
            raise ValueError(f"{status} {path.partition('?')[0]}")
        return body

    async def _write(self, method: str, path: str, body: Any, expected: int) -> Any:
        status, response = await self.connections.send(method, path, body)
        if status != expected:
            raise ValueError(f"{status} {method}")
        return json.loads(response)["data"]


async def capacity(load: Load, clients: int, seconds: float) -> float:
    """Return the requests per second of this number of clients that do not pause."""
    end = time.monotonic() + seconds

    async def client() -> None:
        while (now := time.monotonic()) < end:
            await load.one(now)

    load.timings = []
    await asyncio.gather(*(client() for _ in range(clients)))
    return len(load.timings) / seconds


async def soak(load: Load, rate: float, seconds: float) -> None:
    """Send this number of requests per second, at times that do not depend on the responses."""
    running: set[asyncio.Task[None]] = set()
    begun = due = time.monotonic()
    while due < begun + seconds:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        task = asyncio.create_task(load.one(due))
        running.add(task)
        task.add_done_callback(running.discard)
        due += load.chance.expovariate(rate)
    await asyncio.gather(*running)


@dataclass
class Sample:
    at: float
    memory: dict[int, float]  # megabytes of each worker
    connections: int


async def watch(server: Server, seconds: float, samples: list[Sample]) -> None:
    """Sample memory and connections for this time."""
    url = str((server.environment or {})["DATABASE_URL"])
    begun = time.monotonic()
    with psycopg.connect(url, autocommit=True) as connection:
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        while (at := time.monotonic() - begun) < seconds:
            [number] = connection.execute(count).fetchone() or [0]
            samples.append(Sample(at, servers.memory_by_worker(server), number))
            await asyncio.sleep(min(SAMPLE_EVERY, seconds / 20))


def check(load: Load, server: Server, before: int) -> Iterator[str]:
    """Yield each difference between the acknowledged writes and the registry."""
    found: dict[int, str] = {}
    url = f"{server.base}/api/devices?size=1000"
    while url:
        page = json.load(urllib.request.urlopen(urllib.request.Request(url, headers={"x-api-key": server.key})))
        found |= {row["id"]: row["device_name"] for row in page["data"]}
        url = page["pagination"]["next"]
    changed = {pk for pk, name in load.known if found.get(pk) != name}
    if changed:
        yield f"{len(changed)} devices are not as acknowledged"
    if back := load.retired & found.keys():
        yield f"{len(back)} retired devices are in the list"
    expected = before + load.registered - len(load.retired)
    if (len(found), page["pagination"]["total"]) != (expected, expected):
        yield f"{len(found)} devices are listed, the total is {page['pagination']['total']}, expected are {expected}"
    command = [sys.executable, "manage.py", "check_counts"]
    if subprocess.run(command, cwd=ROOT, env=server.environment, check=False).returncode:
        yield "counters do not match the devices"


def table(load: Load, rate: float, ceilings: list[float], seconds: float, samples: list[Sample]) -> Iterator[str]:
    share = f"{rate / min(ceilings):.0%} of the lowest of {', '.join(f'{ceiling:.0f}' for ceiling in ceilings)}"
    yield f"\n{seconds:.0f} s at {rate:.0f} requests/s, {share}; {load.devices:,} devices\n"
    yield "| | requests | errors | p50 ms | p99 ms | p99/p50 |"
    yield "|---|---|---|---|---|---|"
    errors = sum(load.errors.values())
    for kind, timings in {
        "all": load.timings,
        READS: [timing for timing in load.timings if timing.kind == READS],
        WRITES: [timing for timing in load.timings if timing.kind == WRITES],
    }.items():
        half, most = percentiles([timing.took for timing in timings])
        number = errors if kind == "all" else ""
        yield f"| {kind} | {len(timings):,} | {number} | {half * 1000:.1f} | {most * 1000:.1f} | {most / half:.1f} |"
    yield ""
    yield "| tenth | p50 ms | p99 ms | generator late, p99 ms | memory of each worker, MB | connections to PostgreSQL |"
    yield "|---|---|---|---|---|---|"
    begun = min(timing.due for timing in load.timings)
    for tenth in range(10):
        begin, end = tenth * seconds / 10, (tenth + 1) * seconds / 10
        timings = [timing for timing in load.timings if begin <= timing.due - begun < end]
        half, most = percentiles([timing.took for timing in timings])
        _half, late = percentiles([timing.late for timing in timings])
        seen = [sample for sample in samples if begin <= sample.at < end]
        workers = sorted({pid for sample in seen for pid in sample.memory})
        memory = [statistics.mean(s.memory[pid] for s in seen if pid in s.memory) for pid in workers]
        yield (
            f"| {tenth + 1} | {half * 1000:.1f} | {most * 1000:.1f} | {late * 1000:.1f} "
            f"| {', '.join(f'{size:.1f}' for size in memory)} | {max(s.connections for s in seen)} |"
        )
    yield from (f"\nerror: {what} ({number} times)" for what, number in load.errors.most_common(10))


def percentiles(values: list[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile."""
    cuts = statistics.quantiles(values, n=100)
    return cuts[49], cuts[98]


async def measure(server: Server, options: argparse.Namespace) -> tuple[Load, float, list[float], list[Sample]]:
    load = Load(Connections(server), options.devices)
    await capacity(load, WARM_UP_CLIENTS, WARM_UP)
    ceilings = []
    for _ in range(MEASUREMENTS):
        ceilings.append(await capacity(load, CLIENTS, options.capacity))
        await asyncio.sleep(options.capacity)
    rate, samples = min(ceilings) * options.share, list[Sample]()
    load.timings = []
    await asyncio.gather(soak(load, rate, options.seconds), watch(server, options.seconds, samples))
    return load, rate, ceilings, samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--capacity", type=float, default=5, help="seconds of each measurement of the capacity")
    parser.add_argument("--share", type=float, default=0.7, help="share of the capacity that is sent")
    parser.add_argument("--devices", type=int, default=10_000)
    options = parser.parse_args()
    with servers.postgres() as postgres, servers.registry(postgres, options.devices) as server:
        load, rate, ceilings, samples = asyncio.run(measure(server, options))
        print(*table(load, rate, ceilings, options.seconds, samples), sep="\n")
        lost = list(check(load, server, options.devices))
    print(*[f"LOST: {what}" for what in lost] or ["\nAll acknowledged writes were found."], sep="\n")
    sys.exit(1 if lost or load.errors else 0)


if __name__ == "__main__":
    main()
