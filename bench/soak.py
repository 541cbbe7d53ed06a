"""Ask the registry for ten minutes as much as 70 % of what it can do: `make soak`, or `python -m bench.soak --help`.

1. Warm up for a minute, by more clients at once than later, so that as many threads as will work have their connections
   to PostgreSQL, have prepared there what they ask, and have their memory.
   Then measure the capacity: eight clients, each of which asks again as soon as it is answered. What two cores give may
   double from one minute to the next where others use the machine too, so it is measured ten times, and is the least
   of that: what the registry can do at any time.
2. Ask at 70 % of that rate, whether the answers come or not: requests have a time at which they are due, and how long
   one takes is counted from then, so an answer that is late delays nobody's clock. 90 % read, 10 % write; nearly as
   many devices go as come, so that a later minute has no more to search than the first.
3. Compare what was acknowledged with what there is, and the counts with the devices.

It tells each tenth of the time by itself, of 10 minutes a minute: neither times nor memory nor connections may grow.
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

CLIENTS, WARM_UP_CLIENTS, WARM_UP, SAMPLE_EVERY, IDLE = 8, 64, 60.0, 2.0, 3.0
MEASURED = 10  # times that the capacity is measured
READS, WRITES = "reads", "writes"


@dataclass
class Connections:
    """Kept connections to the server: as many as there are requests at a time."""

    server: Server
    idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    def __post_init__(self) -> None:
        address = urlsplit(self.server.base)
        self.host, self.port = str(address.hostname), int(address.port or 80)

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Return status and body; a write is named by an Idempotency-Key, so that it may be sent again.

        A kept connection may end at the moment at which we use it, so a request is sent on a new one then.
        """
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", f"x-api-key: {self.server.key}"]
        lines += [f"Content-Type: application/json\r\nContent-Length: {len(data)}"] if data else []
        lines += [] if method == "GET" else [f"Idempotency-Key: {uuid.uuid4()}"]
        request = "\r\n".join([*lines, "", ""]).encode() + data
        while self.idle:
            since, reader, writer = self.idle.pop()
            if time.monotonic() - since > IDLE:
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
        told = await reader.readexactly(length)
        if "connection: close" in head:
            writer.close()
        else:
            self.idle.append((time.monotonic(), reader, writer))
        return int(head.split(" ", 2)[1]), told


@dataclass(frozen=True, slots=True)
class Answer:
    kind: str
    due: float  # when it was to be asked for; all in seconds
    late: float  # by how much that was later
    took: float  # from when it was due


@dataclass
class Load:
    """What clients ask, and what they were told."""

    connections: Connections
    devices: int
    chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311
    known: deque[tuple[int, str]] = field(default_factory=deque)  # id and name of the devices that we registered
    gone: set[int] = field(default_factory=set)
    cursor: str = "/api/devices/changes?since=now&size=100"
    serial: int = field(default_factory=lambda: time.time_ns() // 1000 % 2**44)
    registered: int = 0
    answers: list[Answer] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    async def one(self, due: float) -> None:
        """Send one request, and note how long after it was due it was answered."""
        late = time.monotonic() - due
        kind, ask = self._choose()
        try:
            await ask()
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            self.wrong[f"{ask.__name__}: {error!r}"] += 1
        self.answers.append(Answer(kind, due, late, time.monotonic() - due))

    def _choose(self) -> tuple[str, Callable[[], Awaitable[None]]]:
        reads = [(self.page, 35.0), (self.detail, 30.0), (self.filtered, 15.0), (self.changes, 10.0)]
        writes = [(self.post, 1.2), (self.patch, 3), (self.delete, 5.8)]  # nearly as many go as come
        asks = reads + writes
        [ask] = self.chance.choices([ask for ask, _share in asks], [share for _ask, share in asks])
        return (READS if ask in [read for read, _share in reads] else WRITES), ask

    async def page(self) -> None:
        size = self.chance.choice((20, 50, 100))
        await self._get(f"/api/devices?page={self.chance.randint(1, self.devices // size)}&size={size}")

    async def detail(self) -> None:
        await self._get(f"/api/device/{self.chance.randint(1, self.devices)}")

    async def filtered(self) -> None:
        hospital = f"device_holder=RS%20Contoh%20{self.chance.randint(1, 400):03d}"
        await self._get(f"/api/devices?{self.chance.choice([hospital, 'search=bp', 'device_type=CORPORATE'])}&size=20")

    async def changes(self) -> None:
        told = json.loads(await self._get(self.cursor))
        self.cursor = told["pagination"]["next"].removeprefix(self.connections.server.base)

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
        pk, name = self.known.popleft()  # so that nobody else changes it meanwhile
        row = await self._write("PATCH", f"/api/device/{pk}", {"device_name": f"{name}."}, 200)
        self.known.append((pk, row["device_name"]))

    async def delete(self) -> None:
        if not self.known:
            await self.post()
            return
        pk, _name = self.known.popleft()
        await self._write("DELETE", f"/api/device/{pk}", None, 200)
        self.gone.add(pk)

    async def _get(self, path: str) -> bytes:
        status, told = await self.connections.ask("GET", path)
        if status != 200:
            raise ValueError(f"{status} {path.partition('?')[0]}")
        return told

    async def _write(self, method: str, path: str, body: Any, expected: int) -> Any:
        status, told = await self.connections.ask(method, path, body)
        if status != expected:
            raise ValueError(f"{status} {method}")
        return json.loads(told)["data"]


async def capacity(load: Load, clients: int, seconds: float) -> float:
    """Return the requests a second of so many clients that do not pause."""
    end = time.monotonic() + seconds

    async def client() -> None:
        while (now := time.monotonic()) < end:
            await load.one(now)

    load.answers = []
    await asyncio.gather(*(client() for _ in range(clients)))
    return len(load.answers) / seconds


async def soak(load: Load, rate: float, seconds: float) -> None:
    """Send so many requests a second, at times that do not depend on the answers."""
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
    """Note memory and connections, until the time is over."""
    url = str((server.environment or {})["DATABASE_URL"])
    begun = time.monotonic()
    with psycopg.connect(url, autocommit=True) as connection:
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        while (at := time.monotonic() - begun) < seconds:
            [number] = connection.execute(count).fetchone() or [0]
            samples.append(Sample(at, servers.memory_by_worker(server), number))
            await asyncio.sleep(min(SAMPLE_EVERY, seconds / 20))


def check(load: Load, server: Server, before: int) -> Iterator[str]:
    """Give everything that is otherwise than it was acknowledged."""
    there: dict[int, str] = {}
    url = f"{server.base}/api/devices?size=1000"
    while url:
        page = json.load(urllib.request.urlopen(urllib.request.Request(url, headers={"x-api-key": server.key})))
        there |= {row["id"]: row["device_name"] for row in page["data"]}
        url = page["pagination"]["next"]
    lost = {pk for pk, name in load.known if there.get(pk) != name}
    if lost:
        yield f"{len(lost)} devices are not as acknowledged"
    if back := load.gone & there.keys():
        yield f"{len(back)} devices are there that were taken out"
    expected = before + load.registered - len(load.gone)
    if (len(there), page["pagination"]["total"]) != (expected, expected):
        yield f"{len(there)} devices, told as {page['pagination']['total']}, and not {expected}"
    command = [sys.executable, "manage.py", "check_counts"]
    if subprocess.run(command, cwd=ROOT, env=server.environment, check=False).returncode:
        yield "the counts are wrong"


def table(load: Load, rate: float, ceilings: list[float], seconds: float, samples: list[Sample]) -> Iterator[str]:
    share = f"{rate / min(ceilings):.0%} of the least of {', '.join(f'{ceiling:.0f}' for ceiling in ceilings)}"
    yield f"\n{seconds:.0f} s at {rate:.0f} requests/s, {share}; {load.devices:,} devices\n"
    yield "| | requests | errors | p50 ms | p99 ms | p99/p50 |"
    yield "|---|---|---|---|---|---|"
    errors = sum(load.wrong.values())
    for kind, answers in {
        "all": load.answers,
        READS: [answer for answer in load.answers if answer.kind == READS],
        WRITES: [answer for answer in load.answers if answer.kind == WRITES],
    }.items():
        half, most = percentiles([answer.took for answer in answers])
        told = errors if kind == "all" else ""
        yield f"| {kind} | {len(answers):,} | {told} | {half * 1000:.1f} | {most * 1000:.1f} | {most / half:.1f} |"
    yield ""
    yield "| tenth | p50 ms | p99 ms | generator late, p99 ms | memory of each worker, MB | connections to PostgreSQL |"
    yield "|---|---|---|---|---|---|"
    begun = min(answer.due for answer in load.answers)
    for tenth in range(10):
        begin, end = tenth * seconds / 10, (tenth + 1) * seconds / 10
        answers = [answer for answer in load.answers if begin <= answer.due - begun < end]
        half, most = percentiles([answer.took for answer in answers])
        _half, late = percentiles([answer.late for answer in answers])
        seen = [sample for sample in samples if begin <= sample.at < end]
        workers = sorted({pid for sample in seen for pid in sample.memory})
        memory = [statistics.mean(s.memory[pid] for s in seen if pid in s.memory) for pid in workers]
        yield (
            f"| {tenth + 1} | {half * 1000:.1f} | {most * 1000:.1f} | {late * 1000:.1f} "
            f"| {', '.join(f'{size:.1f}' for size in memory)} | {max(s.connections for s in seen)} |"
        )
    yield from (f"\nwrong: {what} ({number} times)" for what, number in load.wrong.most_common(10))


def percentiles(values: list[float]) -> tuple[float, float]:
    """Return the median, and what 99 of 100 are below."""
    cuts = statistics.quantiles(values, n=100)
    return cuts[49], cuts[98]


async def measure(server: Server, options: argparse.Namespace) -> tuple[Load, float, list[float], list[Sample]]:
    load = Load(Connections(server), options.devices)
    await capacity(load, WARM_UP_CLIENTS, WARM_UP)
    ceilings = []
    for _ in range(MEASURED):
        ceilings.append(await capacity(load, CLIENTS, options.capacity))
        await asyncio.sleep(options.capacity)
    rate, samples = min(ceilings) * options.share, list[Sample]()
    load.answers = []
    await asyncio.gather(soak(load, rate, options.seconds), watch(server, options.seconds, samples))
    return load, rate, ceilings, samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--capacity", type=float, default=5, help="seconds in which it is measured, each time")
    parser.add_argument("--share", type=float, default=0.7, help="of the capacity that is asked")
    parser.add_argument("--devices", type=int, default=10_000)
    options = parser.parse_args()
    with servers.postgres() as postgres, servers.registry(postgres, options.devices) as server:
        load, rate, ceilings, samples = asyncio.run(measure(server, options))
        print(*table(load, rate, ceilings, options.seconds, samples), sep="\n")
        wrong = list(check(load, server, options.devices))
    print(*[f"LOST: {what}" for what in wrong] or ["\nAll that was acknowledged is there."], sep="\n")
    sys.exit(1 if wrong or load.wrong else 0)


if __name__ == "__main__":
    main()
