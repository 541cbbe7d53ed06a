"""Parsing and formatting of rates."""

from typing import Any

import pytest

from devices.values import rates
from devices.values.rates import Rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("600/min", Rate(600, "min")),
        (" 5 / s ", Rate(5, "s")),
        ("1000000000/h", Rate(1_000_000_000, "h")),
        ("100/d", Rate(100, "d")),
        ("unlimited", None),
    ],
)
def test_rate_is_parsed_and_formatted(text: str, rate: Rate | None) -> None:
    assert rates.parse_rate(text) == rate
    assert rates.parse_rate(rates.format_rate(rate)) == rate


@pytest.mark.parametrize("text", ["", "600", "0/min", "1/w", "1000000001/h", "9" * 100 + "/s", "٣/min", "1/m"])
def test_invalid_rate_is_rejected(text: Any) -> None:
    with pytest.raises(ValueError, match="This is not a valid rate"):
        rates.parse_rate(text)
