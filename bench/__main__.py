"""Measure the registry beside what a team would write instead: `make bench`, or `python -m bench --help`.

A machine that is shared is noisy, so a single figure means little. All who are compared are measured in turn, round by
round, on the same machine and the same number of devices, and the table tells medians and their ratio.
"""

import argparse
import contextlib
import itertools
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import servers
from bench.servers import ROOT, Server

SMALL, LARGE, HUGE = 10_000, 1_000_000, 10_000_000
PEERS = ("fastapi_raw", "fastapi_sqlalchemy", "ninja", "drf")
_serial = itertools.count(time.time_ns() // 1000 * 1000)


@dataclass(frozen=True)
class Duel:
    """Who is measured at what, the registry first. The ratio is that of the first two."""

    name: str
    field: dict[str, Callable[[float], float]]
    must: float


def reads(server: Server, path: str, key: str | None = None) -> Callable[[float], float]:
    """Return what tells the requests a second of eight connections."""

    def measure(seconds: float) -> float:
        header = f"x-api-key: {key or server.key}"
        wrk = ["wrk", "-t1", "-c8", f"-d{seconds}s", "-H", header, server.base + path]
        out = subprocess.run(wrk, capture_output=True, text=True, check=True).stdout
        if wrong := re.search(r"Non-2xx.*|Socket errors.*", out):
            raise SystemExit(f"{server.base}{path}: {wrong[0]}")
        return float(re.search(r"Requests/sec:\s+(\S+)", out)[1])  # type: ignore[index]

    return measure


def posts(server: Server, size: int) -> Callable[[float], float]:
    """Return what tells the devices a second that one client registers in lists of this size."""

    def measure(seconds: float) -> float:
        begun = time.monotonic()
        for count in itertools.count(1):
            body = json.dumps([_device(number) for number in itertools.islice(_serial, size)]).encode()
            headers = {"x-api-key": server.key, "content-type": "application/json"}
            request = urllib.request.Request(f"{server.base}/api/devices", body, headers)
            urllib.request.urlopen(request).read()
            if (taken := time.monotonic() - begun) >= seconds:
                return count * size / taken
        raise AssertionError

    return measure


def _device(number: int) -> dict[str, str]:
    digits = f"{number % 2**48:012X}"
    mac = ":".join(digits[i : i + 2] for i in range(0, 12, 2))
    return {"device_name": f"Bench {number}", "device_mac": mac, "device_type": "CONSUMER", "device_holder": "RS 1"}


def run(duels: list[Duel], rounds: int, seconds: float) -> Iterator[str]:
    """Measure all in turn, round by round; give a line of the table for each duel."""
    yield "| case | " + " | ".join(("registry", "beside", "ratio", "must")) + " | others |"
    yield "|---|---|---|---|---|---|"
    for duel in duels:
        seen: dict[str, list[float]] = {name: [] for name in duel.field}
        for _ in range(rounds):
            for name, measure in duel.field.items():
                seen[name].append(measure(seconds))
        medians = {name: statistics.median(rates) for name, rates in seen.items()}
        (_own, own), (beside, other), *more = medians.items()
        others = ", ".join(f"{name} {rate:,.0f}" for name, rate in more)
        ratio = own / max(other, 0.01)  # a peer may answer nothing in the time there is
        yield f"| {duel.name} | {own:,.0f} | {beside} {other:,.0f} | {ratio:.2f} | {duel.must} | {others} |"


def walk(server: Server) -> str:
    """Follow `next` through all devices, 1,000 a page; compare the last tenth of the pages with the first."""
    url, times, seen = f"{server.base}/api/devices?size=1000", [], 0
    while url:
        begun = time.monotonic()
        body = urllib.request.urlopen(urllib.request.Request(url, headers={"x-api-key": server.key})).read()
        times.append(time.monotonic() - begun)
        answer = json.loads(body)
        url, seen = answer["pagination"]["next"], seen + len(answer["data"])
    tenth = max(len(times) // 10, 1)
    ratio = sum(times[-tenth:]) / sum(times[:tenth])
    return (
        f"{seen:,} devices by `next`, 1,000 a page: {sum(times):.1f} s; the last tenth takes {ratio:.2f} of the first"
    )


def files(server: Server, devices: int) -> Iterator[str]:
    """Export all devices, and import as many new ones."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fleet.csv")
        yield _command(server, devices, "export_devices", path)
        with path.open("w") as file:
            file.write("device_name,device_mac,device_type,device_holder\n")
            for number in itertools.islice(_serial, devices):
                device = _device(number)
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
    return f"`{name}` of {devices:,}: {rate:,.0f} lines/s, {_megabytes(used)} MB"


def _megabytes(used: resource.struct_rusage) -> int:
    return used.ru_maxrss // 1024


def duels(
    small: Server, large: Server, lite: Server, beside: dict[str, Server], raw_large: Server, huge: Server | None
) -> Iterator[Duel]:
    for size in (20, 100, 1000):
        path = f"/api/devices?page=1&size={size}"
        yield Duel(f"list of {size}, 10,000 devices", _beside(small, beside, path), 1.0)
    detail = _beside(small, beside, "/api/device/5000")
    yield Duel("detail, 10,000 devices", detail, 0.6)
    if "ninja" in detail:
        yield Duel("the same", {name: detail[name] for name in ("registry", "ninja")}, 1.5)
    paths = {f"list of {size}": f"/api/devices?page=1&size={size}" for size in (20, 100)}
    paths["the last page of 100"] = f"/api/devices?page={LARGE // 100}&size=100"
    for name, path in paths.items():
        yield Duel(f"{name}, 1,000,000 devices", _beside(large, {"fastapi_raw": raw_large}, path), 25)
    path = "/api/devices?page=1&size=100"
    at_small = {"at 10,000": reads(small, path)}
    yield Duel("list of 100, 1,000,000 devices", {"registry": reads(large, path), **at_small}, 0.8)
    if huge:
        yield Duel("list of 100, 10,000,000 devices", {"registry": reads(huge, path), **at_small}, 0.6)
    hospital = reads(large, path, large.one_hospitals_key)
    yield Duel("the same with a hospital's key", {"registry": hospital, "unbound": reads(large, path)}, 0.8)
    yield Duel(
        "list of 100, 10,000 devices on SQLite",
        {"registry": reads(lite, path), "PostgreSQL": at_small["at 10,000"]},
        0.7,
    )
    order = ("fastapi_sqlalchemy", "fastapi_raw", "ninja", "drf")
    for size in (100, 1000):
        field = {name: posts(beside[name], size) for name in order if name in beside}
        yield Duel(f"POST of {size}, devices/s", {"registry": posts(small, size), **field}, 1.0)


def _beside(own: Server, beside: dict[str, Server], path: str) -> dict[str, Callable[[float], float]]:
    return {"registry": reads(own, path)} | {name: reads(server, path) for name, server in beside.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--peers", default=",".join(PEERS), help="which of them (default: all)")
    parser.add_argument("--cases", default="", help="a regular expression of the names of cases (default: all)")
    parser.add_argument("--huge", action="store_true", help="measure 10,000,000 too, which take long to fill")
    parser.add_argument("--files", action="store_true", help="measure import and export of 1,000,000 too")
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("Install wrk, which makes the load.")
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(servers.postgres())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        small = stack.enter_context(servers.registry(database, SMALL))
        large = stack.enter_context(servers.registry(database, LARGE))
        huge = stack.enter_context(servers.registry(database, HUGE)) if arguments.huge else None
        lite = stack.enter_context(servers.registry(f"sqlite:///{folder}/registry.sqlite3", SMALL))
        names = arguments.peers.split(",")
        beside = {name: stack.enter_context(servers.peer(name, database, SMALL)) for name in names}
        raw_large = stack.enter_context(servers.peer("fastapi_raw", database, LARGE))
        every = duels(small, large, lite, beside, raw_large, huge)
        chosen = [duel for duel in every if re.search(arguments.cases, duel.name)]
        for line in run(chosen, arguments.rounds, arguments.seconds):
            print(line, flush=True)
        if not arguments.cases:
            print(f"\n- {walk(large)}")
        print(f"- memory of the workers after all of it: {servers.workers_memory(large)} MB", flush=True)
        if arguments.files:
            for line in files(large, LARGE):
                print(f"- {line}", flush=True)


if __name__ == "__main__":
    main()
