"""Each test that the documents name as what holds a promise exists."""

import re
from pathlib import Path

import pytest

from devices.tests.conftest import ROOT

TESTS = [*(ROOT / "devices/tests").glob("test_*.py"), *(ROOT / "tests").rglob("test_*.py")]
NAMES = {name for path in TESTS for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}
NAMES |= {path.name for path in TESTS}
DOCUMENTS = [path for path in (ROOT / "docs/security.md", ROOT / "docs/reliability.md") if path.exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_test_that_a_document_names_exists(document: Path) -> None:
    named = set(re.findall(r"`(test_\w+(?:\.py)?)`", document.read_text()))
    assert len(named) > 10
    assert named - NAMES == set()


def test_each_promise_of_security_names_what_holds_it() -> None:
    lines = (ROOT / "docs/security.md").read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    promises = [row for row in rows if row[0] != "promise" and not row[0].startswith("---")]
    assert len(promises) > 40
    for row in promises:
        assert len(row) == 3, row
        assert "`test_" in row[2], row
