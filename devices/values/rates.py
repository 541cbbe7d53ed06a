"""Rates, such as `600/min`: how many permits each time window has. Without ORM, request and settings."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

UNLIMITED = "unlimited"
MAX_NUMBER = 1_000_000_000
SECONDS = {"s": 1, "min": 60, "15min": 900, "h": 3600, "d": 86_400}  # `parse_rate` does not accept 15min

_RATE = re.compile(r"\s*([0-9]{1,10})\s*/\s*(s|min|h|d)\s*")


class Rate(NamedTuple):
    """`number` permits in each window of one `unit`, which is a key of SECONDS."""

    number: int
    unit: str

    @property
    def seconds(self) -> int:
        return SECONDS[self.unit]

    def __str__(self) -> str:
        return f"{self.number}/{self.unit}"


Limit = tuple[str, Rate]  # the name under which permits are counted, and their rate


@lru_cache(maxsize=1000)
def parse_rate(text: str) -> Rate | None:
    """Return the rate, or None for `unlimited`.

    Raises:
        ValueError: the text is neither `unlimited` nor a number from 1 to 1,000,000,000 with /s, /min, /h or /d.
    """
    if text.strip() == UNLIMITED:
        return None
    match = _RATE.fullmatch(text)
    if not match or not 1 <= int(match[1]) <= MAX_NUMBER:
        raise ValueError(f"This is not a valid rate: {text!r}.")
    return Rate(int(match[1]), match[2])


def format_rate(rate: Rate | None) -> str:
    """Return the text from which `parse_rate` returns this rate."""
    return str(rate) if rate else UNLIMITED


def by_network(name: str, rate: Rate | None, networks: Sequence[str | None], factor: int) -> list[Limit]:
    """Return the limits of a client's networks, the smallest network first (`client_ip.client_networks`).

    The smallest has the rate, a larger one `factor` times the rate. If the rate is None, the list is empty.
    """
    if rate is None:
        return []
    wide = Rate(rate.number * factor, rate.unit)
    return [(f"{name}:{networks[0]}", rate), *((f"{name}:{site}", wide) for site in networks[1:])]
