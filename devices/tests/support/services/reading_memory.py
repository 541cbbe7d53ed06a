"""Read files twice and print the memory used, in MiB: a program that a test runs.

It prints four numbers: the growth of this process at the peak, the peak of the processes that read workbooks, and the
growth of this process after all files were read once and after they were read twice.
"""

import io
import resource
import sys
from pathlib import Path

import devices.tests.support.environment  # noqa: F401  (sets the environment before the settings are read)


def memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith(name)]
    return int(kilobytes) // 1024


def main() -> None:
    import django

    django.setup()
    from devices.imports.files import header, spreadsheet

    def read(path: str) -> None:
        try:
            with spreadsheet.open_sheet(io.BytesIO(Path(path).read_bytes())) as sheet:
                list(sheet.rows)
        except header.UnreadableFile:
            return

    before, after = memory("VmRSS"), []
    for _ in range(2):
        for path in sys.argv[1:]:
            read(path)
        after.append(memory("VmRSS") - before)
    readers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(memory("VmHWM") - before, readers, after[0], after[1])  # noqa: T201


if __name__ == "__main__":
    main()
