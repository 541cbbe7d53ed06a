"""The cases of the benchmark: the requests, and the contenders that are compared with the registry."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

PEERS = ("fastapi_raw", "fastapi_sqlalchemy", "ninja", "drf")
FASTEST_PEER = "fastapi_raw"  # the only peer that is measured with more devices than the smallest number
REGISTRY, AGAINST, SQLITE = "registry", "against", "SQLite"
LIST = "/api/devices?page=1&size=100"
READS = {
    "list of 20": "/api/devices?page=1&size=20",
    "list of 100": LIST,
    "list of 1000": "/api/devices?page=1&size=1000",
    "last page of 100": "/api/devices?page={last_page}&size=100",
    "detail": "/api/device/{id}",
    "filter by MAC": "/api/devices?device_mac={mac}",
    "filter by type": "/api/devices?device_type=CORPORATE",
    "search": "/api/devices?search={part_of_name}",
}
POSTS = {"POST of 1": 1, "POST of 100": 100, "POST of 1000": 1000}
# Targets: the lowest ratio of the registry's rate to the contender's.
TARGETS = {
    ("list of 20, 10,000 devices", "fastapi_raw"): 0.95,
    ("list of 100, 10,000 devices", "fastapi_raw"): 0.95,
    ("list of 1000, 10,000 devices", "fastapi_raw"): 0.95,
    ("detail, 10,000 devices", "fastapi_raw"): 0.5,
    ("detail, 10,000 devices", "ninja"): 1.5,
    ("list of 20, 1,000,000 devices", "fastapi_raw"): 22,
    ("list of 100, 1,000,000 devices", "fastapi_raw"): 22,
    ("last page of 100, 1,000,000 devices", "fastapi_raw"): 22,
    ("POST of 100, 10,000 devices", "fastapi_sqlalchemy"): 1.0,
    ("POST of 1000, 10,000 devices", "fastapi_sqlalchemy"): 1.0,
    ("list of 100, 1,000,000 devices, scaling", "at 10,000"): 0.8,
    ("list of 100, 10,000,000 devices, scaling", "at 10,000"): 0.6,
    ("list of 100, 1,000,000 devices, hospital-scoped key", "key for all hospitals"): 0.8,
    ("list of 100, 10,000 devices, SQLite", "PostgreSQL"): 0.7,
}


class Contender(NamedTuple):
    server: str
    devices: int
    is_hospital_scoped: bool = False


@dataclass(frozen=True)
class Case:
    """A GET of `path`, or a POST of `size` devices, and the contenders. The first one is the registry."""

    name: str
    field: dict[str, Contender]
    path: str = ""
    size: int = 0


def all_cases(sizes: Sequence[int], peers: Sequence[str], against: bool) -> Iterator[Case]:
    """Yield the reads for each number of devices, comparisons of the registry with itself, and the POSTs.

    The POSTs come last, because they add devices.
    """
    others = [AGAINST] if against else []
    for devices in sizes:
        measured = [peer for peer in peers if devices == min(sizes) or peer == FASTEST_PEER]
        field = {name: Contender(name, devices) for name in (REGISTRY, *others, *measured)}
        for name, path in READS.items():
            yield Case(f"{name}, {devices:,} devices", field, path)
    yield from _registry_with_itself(sizes)
    field = {name: Contender(name, min(sizes)) for name in (REGISTRY, *others, *peers)}
    for name, size in POSTS.items():
        yield Case(f"{name}, {min(sizes):,} devices", field, size=size)


def select(cases: Sequence[Case], only: Sequence[str] | None) -> list[Case]:
    """Return the cases whose names begin with one of these. "list of 100" includes every number of devices."""
    beginnings = tuple(f"{name}," for name in only or ())  # so that "list of 100" is not "list of 1000"
    return [case for case in cases if only is None or f"{case.name},".startswith(beginnings)]


def _registry_with_itself(sizes: Sequence[int]) -> Iterator[Case]:
    small, *larger = sorted(sizes)
    own = Contender(REGISTRY, small)
    for devices in larger:
        field = {REGISTRY: Contender(REGISTRY, devices), f"at {small:,}": own}
        yield Case(f"list of 100, {devices:,} devices, scaling", field, LIST)
    large = max(sizes)
    field = {
        REGISTRY: Contender(REGISTRY, large, is_hospital_scoped=True),
        "key for all hospitals": Contender(REGISTRY, large),
    }
    yield Case(f"list of 100, {large:,} devices, hospital-scoped key", field, LIST)
    yield Case(f"list of 100, {small:,} devices, SQLite", {REGISTRY: Contender(SQLITE, small), "PostgreSQL": own}, LIST)
