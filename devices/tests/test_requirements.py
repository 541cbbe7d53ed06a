"""What is installed is what was looked at: each version pinned, each file by its hash."""

import re

import pytest

from devices.tests.conftest import ROOT


def pinned(name: str) -> dict[str, str]:
    """The versions of a compiled file, of each requirement that has a hash."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"([a-z0-9.-]+)==(\S+) .*--hash=sha256:[0-9a-f]{64}.*", line.strip()):
            found[match[1]] = match[2]
        else:
            assert not line.strip() or line.lstrip().startswith("#"), line
    return found


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_what_is_asked_for_is_what_is_pinned(name: str) -> None:
    asked = re.findall(r"^([a-z0-9.-]+)(?:\[[^]]*\])?==(\S+)$", (ROOT / f"{name}.in").read_text(), re.MULTILINE)
    assert len(asked) > 10
    assert set(asked) <= set(pinned(f"{name}.txt").items())


def test_what_tests_is_what_serves_and_more() -> None:
    assert set(pinned("requirements.txt").items()) < set(pinned("requirements-dev.txt").items())
