"""Read the CPU time of a server and of PostgreSQL from /proc (Linux), each with all its child processes."""

import os
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAUSE, PAUSES, IDLE_TICKS = 0.2, 100, 1


class Process(NamedTuple):
    parent: int
    ticks: int  # of the process and of its children that have ended


def parse(stat: str) -> Process:
    """Parse the content of /proc/PID/stat. The name, in parentheses, may contain spaces and parentheses."""
    _state, parent, *fields = stat.rpartition(")")[2].split()
    return Process(int(parent), sum(map(int, fields[9:13])))  # utime, stime, cutime, cstime: fields 14 to 17 in proc(5)


def tree_ticks(root: int, processes: Mapping[int, Process]) -> int:
    """Return the ticks of a process and its descendants."""
    children = defaultdict(list)
    for pid, process in processes.items():
        children[process.parent].append(pid)
    ticks, pending = 0, [root]
    while pending:
        pid = pending.pop()
        ticks += processes[pid].ticks
        pending += children[pid]
    return ticks


def _processes() -> dict[int, Process]:
    processes = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            processes[int(folder.name)] = parse((folder / "stat").read_text())
    return processes


def seconds(*roots: int) -> list[float]:
    """Return the CPU seconds that each of these processes and its descendants have used so far."""
    processes = _processes()
    return [tree_ticks(root, processes) / TICKS_PER_SECOND for root in roots]


def wait_until_idle(*roots: int) -> None:
    """Wait up to 20 seconds until the processes have finished the requests of the previous measurement."""
    before = sum(seconds(*roots))
    for _ in range(PAUSES):
        time.sleep(PAUSE)
        now = sum(seconds(*roots))
        if (now - before) * TICKS_PER_SECOND <= IDLE_TICKS:
            return
        before = now
