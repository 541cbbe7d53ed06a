"""Read the commands of a documentation page, so that a test runs what operators read."""

import re

from devices.tests.support.services.server import ROOT


def sections(page: str) -> dict[str, list[str]]:
    """Return the commands of each section of docs/operations/PAGE.md that has any, by its heading.

    A command is an indented line, after an empty line. A line that ends with a backslash continues.
    """
    found: dict[str, list[str]] = {}
    heading, in_code, before_is_empty = "", False, True
    for line in (ROOT / f"docs/operations/{page}.md").read_text().splitlines():
        if match := re.match(r"#+ (.+)", line):
            heading, in_code = match[1], False
        is_indented = re.match(r" {4,}\S", line) is not None
        in_code = is_indented and (in_code or before_is_empty)
        if in_code:
            found.setdefault(heading, []).append(line.strip())
        before_is_empty = not line.strip()
    return {heading: "\n".join(lines).replace("\\\n", "").splitlines() for heading, lines in found.items()}


def commands_of_comment(path: str, number: int) -> list[str]:
    """Return the commands of a step at the top of a file: the indented lines after `# NUMBER.`"""
    lines = (ROOT / path).read_text().splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(f"# {number}. "))
    found = []
    for line in lines[start + 1 :]:
        if not line.startswith("#        "):
            break
        found.append(line.removeprefix("#").strip())
    return found
