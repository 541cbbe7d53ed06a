"""The requests of clients and users, with values of random devices of a registry, and the client that sends them."""

import contextlib
import http.client
import json
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import psycopg

from bench import load, servers
from bench.admin import SESSION
from bench.servers import ROOT, Server

CLIENTS = 4  # as many as a worker has threads
SAMPLES = 1000
MONTH = 30 * 86_400  # seconds
KNOWN = (
    "SELECT d.id, d.device_mac, h.name FROM devices_device d JOIN devices_hospital h ON h.id = d.device_holder_id "
    "WHERE d.id IN"
)
PREPARE = f"""{SESSION}
import random
from devices.crypto import cursors
from devices.history import feed
users = get_user_model().objects
print(sign_in(users.filter(username="operator").first() or users.create_superuser("operator")))
state, last = feed.state(), feed.stable_watermark()
for _ in range(100):
    print(cursors.encode(cursors.Cursor(random.randrange(last - 100), state.pruned_to, 0), state.key))
"""


class Request(NamedTuple):
    """A request. `headers` has the credentials."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any = None


@dataclass
class Traffic:
    """Makes the requests of the cases (see CASES) for random devices of a registry with `devices` devices.

    session: the session of an operator of the admin.
    known: id, MAC address and hospital of random devices.
    cursors: random positions in the change feed.
    """

    server: Server
    devices: int
    session: str
    known: list[tuple[int, str, str]]
    cursors: list[str]
    chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311  (no secret)

    def get(self, path: str, **query: Any) -> Request:
        return Request("GET", f"{path}?{urlencode(query)}" if query else path, {"x-api-key": self.server.key})

    def send(self, method: str, path: str, body: Any) -> Request:
        return Request(method, path, {"x-api-key": self.server.key, "content-type": "application/json"}, body)

    def page(self, path: str) -> Request:
        return Request("GET", path, {"cookie": f"sessionid={self.session}"})

    @property
    def device(self) -> tuple[int, str, str]:
        return self.chance.choice(self.known)

    def hexadecimal(self, digits: int) -> str:
        """Return the last digits of the MAC address of a random device, without its separators."""
        return self.device[1].replace(":", "")[-digits:]

    def new_devices(self, count: int) -> list[dict[str, str]]:
        return [row | {"device_holder": self.device[2]} for row in load.new_devices(count)]

    def addresses(self) -> dict[str, list[str]]:
        return {"device_mac": [row[1] for row in self.chance.sample(self.known, 100)]}


class Case(NamedTuple):
    """One kind of request. `share` is its percentage of the mix for which the guide is computed.

    The mix has no searches. Their cost grows with the number of devices, so the guide counts them separately.
    """

    name: str
    share: float
    make: Callable[[Traffic], Request]
    is_write: bool = False


LIST, ADMIN = "/api/devices", "/admin/devices/device/"
CASES = [
    Case("detail", 32, lambda t: t.get(f"/api/device/{t.device[0]}")),
    Case("list of 20", 15, lambda t: t.get(LIST)),
    Case("list of 20 after an id", 10, lambda t: t.get(LIST, after=t.device[0])),
    Case("list of 100", 4, lambda t: t.get(LIST, size=100, after=t.device[0])),
    Case("filter by MAC", 15, lambda t: t.get(LIST, device_mac=t.device[1])),
    Case("filter by hospital", 6, lambda t: t.get(LIST, device_holder=t.device[2])),
    Case("filter by type", 1, lambda t: t.get(LIST, device_type="CORPORATE")),
    Case("search for 5 characters", 0, lambda t: t.get(LIST, search=t.hexadecimal(5))),
    Case("lookup of 100", 1, lambda t: t.send("POST", f"{LIST}/lookup", t.addresses())),
    Case("change feed, 100 changes", 3, lambda t: t.get(f"{LIST}/changes", since=t.chance.choice(t.cursors), size=100)),
    Case("change feed, no change", 2, lambda t: t.get(f"{LIST}/changes", since="now")),
    Case("hospitals, 20", 1, lambda t: t.get("/api/hospitals")),
    Case("last page", 0, lambda t: t.get(LIST, page=-(-t.devices // 20))),
    Case("page by number", 0, lambda t: t.get(LIST, page=t.chance.randrange(t.devices // 20) + 1)),
    Case("last changed first", 0, lambda t: t.get(LIST, ordering="-updated_at")),
    Case(
        "a hospital's, last changed first", 0, lambda t: t.get(LIST, device_holder=t.device[2], ordering="-updated_at")
    ),
    Case("changed since a month ago", 0, lambda t: t.get(LIST, updated_since=int((time.time() - MONTH) * 1000))),
    Case("search for 4 characters", 0, lambda t: t.get(LIST, search=t.hexadecimal(4))),
    Case("search for 3 characters", 0, lambda t: t.get(LIST, search=t.hexadecimal(3))),
    Case("search for 2 characters", 0, lambda t: t.get(LIST, search=t.hexadecimal(2))),
    Case("search for a frequent word", 0, lambda t: t.get(LIST, search="thermometer")),
    Case("search for a hospital", 0, lambda t: t.get(LIST, search=t.device[2])),
    Case("admin: overview", 0, lambda t: t.page("/admin/")),
    Case("admin: devices", 0, lambda t: t.page(ADMIN)),
    Case("admin: search for a hospital", 0, lambda t: t.page(f"{ADMIN}?q={quote(t.device[2])}")),
    Case("admin: search for a device", 0, lambda t: t.page(f"{ADMIN}?q={t.hexadecimal(6)}")),
    Case("admin: a device", 0, lambda t: t.page(f"{ADMIN}{t.device[0]}/change/")),
    Case("admin: changes", 0, lambda t: t.page("/admin/devices/historicaldevice/")),
    Case("POST of 1", 4, lambda t: t.send("POST", LIST, t.new_devices(1)), is_write=True),
    Case(
        "PATCH of the hospital",
        6,
        lambda t: t.send("PATCH", f"/api/device/{t.device[0]}", {"device_holder": t.device[2]}),
        is_write=True,
    ),
    Case("POST of 100", 0, lambda t: t.send("POST", LIST, t.new_devices(100)), is_write=True),
]
MIX = {case.name: case.share for case in CASES if case.share}


def sample(server: Server, devices: int) -> Traffic:
    """Choose random devices of hospitals, and random positions in the change feed. Sign an operator in."""
    environment = server.environment or {}
    chance = random.Random(devices)  # noqa: S311
    session, *cursors = servers.manage(ROOT, environment, "shell", "-v0", "-c", PREPARE).splitlines()
    ids = chance.sample(range(1, devices + 1), SAMPLES)
    if environment["DATABASE_URL"].startswith("sqlite"):
        found: Any = sqlite3.connect(environment["DATABASE_URL"].removeprefix("sqlite:///"))
    else:
        found = psycopg.connect(environment["DATABASE_URL"])
    with contextlib.closing(found) as connection:
        rows = connection.execute(f"{KNOWN} ({','.join(map(str, ids))})").fetchall()
    return Traffic(server, devices, session, rows, cursors)


class Sent(NamedTuple):
    """The number of requests that were sent, the seconds of each, and the number of failed ones by status."""

    times: list[float]
    failed: Counter[int]


def send(traffic: Traffic, case: Case, seconds: float) -> Sent:
    """Send requests of a case over CLIENTS connections for some seconds, each at least one."""
    times: list[float] = []
    failed: Counter[int] = Counter()
    end = time.monotonic() + seconds
    lock = threading.Lock()  # of the chance

    def client() -> None:
        connection = http.client.HTTPConnection(urlsplit(traffic.server.base).netloc, timeout=120)
        while True:
            with lock:
                request = case.make(traffic)
            body = None if request.body is None else json.dumps(request.body)
            begun = time.monotonic()
            connection.request(request.method, request.path, body, request.headers)
            response = connection.getresponse()
            response.read()
            times.append(time.monotonic() - begun)
            if response.status >= 300:
                failed[response.status] += 1
            if time.monotonic() > end:
                connection.close()
                return

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Sent(times, failed)
