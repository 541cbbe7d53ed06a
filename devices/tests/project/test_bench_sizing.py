"""The sizing guide is computed from the measured CPU time of the requests of a mix."""

from collections import Counter
from pathlib import Path

import pytest

from bench import large, sizing, traffic
from bench.sizing import Cost


def test_mix_has_a_hundred_percent_of_known_requests() -> None:
    assert sum(traffic.MIX.values()) == 100
    assert sum(case.share for case in traffic.CASES if case.is_write) == 10


def test_cores_are_the_cpu_time_of_a_second_at_the_planned_utilization() -> None:
    assert sizing.cores(1000, 1.3) == pytest.approx(2.0)


def test_guide_weights_each_request_by_its_share() -> None:
    costs = {name: {50: Cost(1, 0, 0, 0, Counter())} for name in traffic.MIX}
    costs["detail"] = {50: Cost(11, 3, 0, 0, Counter())}  # 32 % of the mix
    *_header, row = sizing.guide(costs, [50], [1000])
    assert row == f"| 50 | 1,000 | 4.20 | 0.96 | {4.2 / 0.65:.1f} | {0.96 / 0.65:.1f} |"


def test_growth_above_the_limit_is_marked() -> None:
    costs = {
        name: {50: Cost(1, 1, 0.01, 0, Counter()), 100: Cost(1, postgres, 2, 0, Counter({503: 4}))}
        for name, postgres in (("constant", 1.5), ("growing", 2.5))
    }
    rows = {row.split("|")[1].strip(): row for row in sizing.requests_table(costs, [50, 100]) if row.startswith("|")}
    assert "**" not in rows["constant"]
    assert "1.75 **" in rows["growing"]
    assert any("503: 4" in row for row in sizing.requests_table(costs, [50, 100]))


@pytest.mark.parametrize("devices", [0, 49, 20_000_000])
def test_numbers_of_devices_that_the_loader_cannot_make_are_rejected(devices: int) -> None:
    with pytest.raises(ValueError, match="multiple of 50"):
        large.fill(Path(), {}, devices)
