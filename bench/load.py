"""Send requests to a server for some seconds; return their rate and the CPU time of each."""

import http.client
import itertools
import json
import math
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from bench import cpu
from bench.servers import Server

_serial = itertools.count(time.time_ns() // 1000 * 1000)


class Reading(NamedTuple):
    """The result of one round. CPU times are milliseconds per request; nan if no request was completed."""

    rate: float
    workers: float
    postgres: float

    @property
    def total(self) -> float:
        return self.workers + self.postgres


class Load(NamedTuple):
    requests: int
    rate: float  # requests per second, or devices per second of a POST


def measure(server: Server, postgres: int, load: Callable[[], Load]) -> Reading:
    """Run the load; `postgres` is the process ID of the postmaster."""
    cpu.wait_until_idle(server.pid, postgres)
    before = cpu.seconds(server.pid, postgres)
    requests, rate = load()
    after = cpu.seconds(server.pid, postgres)
    used = [(end - begin) * 1000 / (requests or math.nan) for begin, end in zip(before, after, strict=True)]
    return Reading(rate, *used)


def get(server: Server, path: str, key: str, duration: float) -> Load:
    """Request the path over eight connections."""
    url = server.base + path
    wrk = ["wrk", "-t1", "-c8", f"-d{duration}s", "--timeout", "60s", "-H", f"x-api-key: {key}", url]
    out = subprocess.run(wrk, capture_output=True, text=True, check=True).stdout
    if failure := re.search(r"Non-2xx.*|Socket errors.*", out):
        raise SystemExit(f"{url}: {failure[0]}")
    found = re.search(r"(\d+) requests in .*Requests/sec:\s+(\S+)", out, re.DOTALL)
    if not found:
        raise SystemExit(f"{url}: wrk printed {out!r}")
    return Load(int(found[1]), float(found[2]))


def post(server: Server, size: int, duration: float) -> Load:
    """Register arrays of this size over one connection."""
    connection = http.client.HTTPConnection(urlsplit(server.base).netloc, timeout=60)
    headers = {"x-api-key": server.key, "content-type": "application/json"}
    count, begun, taken = 0, time.monotonic(), 0.0
    while taken < duration:
        connection.request("POST", "/api/devices", json.dumps(list(new_devices(size))), headers)
        response = connection.getresponse()
        body = response.read()
        if response.status != 201:
            raise SystemExit(f"{server.base}/api/devices: {response.status} {body[:200]!r}")
        count, taken = count + 1, time.monotonic() - begun
    connection.close()
    return Load(count, count * size / taken)


def new_devices(count: int) -> Iterator[dict[str, str]]:
    for number in itertools.islice(_serial, count):
        digits = f"{number % 2**48:012X}"
        mac = ":".join(digits[i : i + 2] for i in range(0, 12, 2))
        yield {"device_name": f"Bench {number}", "device_mac": mac, "device_type": "CONSUMER", "device_holder": "RS 1"}
