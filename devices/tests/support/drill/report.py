"""Measure the steps of a drill, and print them as a table."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Report:
    """The steps in their order: what was done, the seconds it took, and the size of its result."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.rows: list[tuple[str, float, str]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.rows.append((name, time.monotonic() - start, ""))

    def note_size(self, *paths: Path) -> None:
        """Add the size of the files or folders to the last step."""
        name, seconds, _size = self.rows[-1]
        self.rows[-1] = (name, seconds, f"{sum(map(size_of, paths)) / 1e6:,.0f} MB")

    def note(self, text: str) -> None:
        """Add the text as a step that takes no time."""
        self.rows.append((text, 0.0, ""))

    def print(self) -> None:
        load = f"Load average of the last 15 minutes: {os.getloadavg()[2]:.0f}, on {os.cpu_count()} cores"
        lines = ["", "", self.title, "", load, "", "| step | seconds | size |", "|---|--:|--:|"]
        lines += [f"| {name} | {seconds:.1f} | {size} |" for name, seconds, size in self.rows]
        sys.stdout.write("\n".join([*lines, ""]))


def size_of(path: Path) -> int:
    """Return the bytes on disk of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
