"""How often something may happen: `600/min`. Pure."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

UNLIMITED = "unlimited"
HIGHEST = 1_000_000_000
SECONDS = {"s": 1, "min": 60, "15min": 900, "h": 3600, "d": 86_400}  # `read` does not accept 15min

_RATE = re.compile(r"\s*([0-9]{1,10})\s*/\s*(s|min|h|d)\s*")


class Rate(NamedTuple):
    """So many permits in each window of so many seconds."""

    number: int
    unit: str

    @property
    def seconds(self) -> int:
        return SECONDS[self.unit]

    def __str__(self) -> str:
        return f"{self.number}/{self.unit}"


Limit = tuple[str, Rate]  # the name that permits are counted under, and their rate


@lru_cache(maxsize=1000)
def parse_rate(text: str) -> Rate | None:
    """Return the rate, None for `unlimited`.

    Raises:
        ValueError: it is neither that nor a number from 1 to 1,000,000,000 and one of /s, /min, /h, /d.
    """
    if text.strip() == UNLIMITED:
        return None
    match = _RATE.fullmatch(text)
    if not match or not 1 <= int(match[1]) <= HIGHEST:
        raise ValueError(f"This is no rate: {text!r}.")
    return Rate(int(match[1]), match[2])


def format_rate(rate: Rate | None) -> str:
    return str(rate) if rate else UNLIMITED


def by_network(name: str, rate: Rate | None, networks: Sequence[str | None], factor: int) -> list[Limit]:
    """Return the limits of a network and its site (`origin.client_networks`), whose rate is `factor` times as high."""
    if rate is None:
        return []
    wide = Rate(rate.number * factor, rate.unit)
    return [(f"{name}:{networks[0]}", rate), *((f"{name}:{site}", wide) for site in networks[1:])]
