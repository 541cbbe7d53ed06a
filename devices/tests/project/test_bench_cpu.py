import os

import pytest

from bench import cpu
from bench.cases import all_cases, select
from bench.cpu import Process

TIMES = "4194304 98 0 0 0 300 20 4000 50000 20 0 1 0 65101"


@pytest.mark.parametrize("name", ["postgres", "a b", ") R 9 9 (", "(sd-pam)", ""])
def test_stat_is_parsed_for_every_process_name(name: str) -> None:
    assert cpu.parse(f"12 ({name}) S 7 12 12 0 -1 {TIMES}\n") == Process(parent=7, ticks=54320)


def test_tree_includes_descendants_only() -> None:
    processes = {
        1: Process(0, 1),
        10: Process(1, 10),
        11: Process(10, 100),
        12: Process(11, 1000),
        20: Process(1, 10000),
    }
    assert cpu.tree_ticks(10, processes) == 1110


def test_ended_server_is_an_error() -> None:
    with pytest.raises(KeyError):
        cpu.tree_ticks(10, {1: Process(0, 1)})


def test_seconds_agree_with_the_times_of_this_process() -> None:
    before = sum(os.times()[:4])
    [used] = cpu.seconds(os.getpid())
    tick = 1 / cpu.TICKS_PER_SECOND
    assert used >= before - 2 * tick


def test_only_selects_a_case_with_every_number_of_devices() -> None:
    chosen = select(list(all_cases([100, 1000], ["ninja"], against=True)), ["list of 100, 1,000 devices", "POST of 1"])
    assert [case.name for case in chosen] == [
        "list of 100, 1,000 devices",
        "list of 100, 1,000 devices, scaling",
        "list of 100, 1,000 devices, hospital-scoped key",
        "POST of 1, 100 devices",
    ]
