"""How often somebody may ask: `600/min`. Pure: knows no ORM, no request and no settings."""

import re
from dataclasses import dataclass
from functools import lru_cache

UNLIMITED = "unlimited"
HIGHEST = 1_000_000_000
SECONDS = {"s": 1, "min": 60, "15min": 900, "h": 3600, "d": 86_400}  # `read` does not accept 15min

_RATE = re.compile(r"\s*([0-9]{1,10})\s*/\s*(s|min|h|d)\s*")


class Malformed(ValueError):
    """This is no rate."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in each window of so many seconds."""

    number: int
    unit: str

    @property
    def seconds(self) -> int:
        return SECONDS[self.unit]

    def __str__(self) -> str:
        return f"{self.number}/{self.unit}"


@lru_cache(maxsize=1000)
def read(text: str) -> Rate | None:
    """Return the rate, None for `unlimited`.

    Raises:
        Malformed: it is neither that nor a number from 1 to 1,000,000,000 and one of /s, /min, /h, /d.
    """
    if text.strip() == UNLIMITED:
        return None
    match = _RATE.fullmatch(text)
    if not match or not 1 <= int(match[1]) <= HIGHEST:
        raise Malformed(text)
    return Rate(int(match[1]), match[2])


def write(rate: Rate | None) -> str:
    return str(rate) if rate else UNLIMITED
